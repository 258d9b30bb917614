"""Lambda and EventBridge of the rehearsal: runs what an AWS API holds, and follows what is changed there.

    account.py     what is asked of the API, and of CloudWatch Logs
    programs.py    the functions' code, checked against the API's CodeSha256; functions and mappings from its answers
    cloud.py       follows the API: a LambdaHost with exactly what the API holds
    log_groups.py  the functions' lines, in their log groups
    schedules.py   EventBridge's expressions and events; pure
    scheduler.py   which rule is due; asynchronous invocations with their retries
    control.py     a Unix socket to invoke, to ask, and to let things go wrong

`python -m shopstream.rehearsal.cloud` runs all of it until SIGTERM.

What differs from AWS: layers are not applied, logs are text whatever the function's log format says, all environments
of a function write into the stream of the newest one, EventInvokeConfig is not read, and nothing asks for IAM
permissions except whether EventBridge may invoke the target.
"""
