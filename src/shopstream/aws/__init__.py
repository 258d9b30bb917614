"""The deployment on AWS, up and down: what surrounds Terraform.

`python -m shopstream.aws deploy` and `destroy` are what scripts/deploy_all.sh and scripts/destroy_all.sh call. Every
part takes the boto3 session that it works with, so that nothing here knows whether AWS itself or a stand-in answers.
"""
