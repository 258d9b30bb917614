"""The shop's services. Each module stands alone: none imports another, so that each fits into a Lambda by itself."""
