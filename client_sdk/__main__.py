"""`python -m client_sdk`: the device's command line where there is no `roadbook`."""

from client_sdk.cli import device

if __name__ == "__main__":
    device(prog_name="roadbook device")
