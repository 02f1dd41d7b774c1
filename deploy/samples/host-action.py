#!/usr/bin/env python3
"""Acts on a member host for Farmhand: an example of a program for `[host_actions] command`.

    command = ["/usr/bin/python3", "/etc/farmhand/host-action.py", "--ssh", "farmhand-hosts"]

Reads one action as a JSON document from standard input and prints one answer; docs/host-actions.md
has the protocol. Without --ssh it only says what it would do, so that it can be tried anywhere:

    echo '{"version": 1, "action": "install", "account": "ITFarm1",
           "host": {"name": "Host1", "sid": "S-1-5-21-1-2-3-1104", "dnsHostName": "host1.contoso.com"}}' \\
        | python3 host-action.py

With --ssh USER it runs PowerShell on the host over OpenSSH (a feature of Windows Server 2019 and
later) as USER, who must be an administrator there. Swap `run` for WinRM, a configuration manager
or an agent: only the protocol counts. Needs Python 3.8 and nothing beside it.
"""

import base64
import json
import subprocess
import sys

PURGE = "klist -li 0x3e7 purge"


def quoted(text):
    """A PowerShell literal: within single quotes only the quote itself is special."""
    return "'" + text.replace("'", "''") + "'"


def script(request):
    account = quoted(request["account"])
    action = request["action"]
    if action == "purge-tickets":
        return PURGE
    if action == "install":
        return f"Install-ADServiceAccount -Identity {account}"
    if action == "test":
        # It prints True or False and does not fail by itself.
        return f"if (-not (Test-ADServiceAccount -Identity {account})) {{ throw 'the host cannot fetch the password' }}"
    if action == "uninstall":
        return f"Uninstall-ADServiceAccount -Identity {account}"
    if action == "restart-service":
        return f"Restart-Service -Name {quoted(request['service'])}"
    raise ValueError(f"unknown action {action!r}")


def run(user, host, text):
    """Runs PowerShell on the host; gives (whether it succeeded, what it said)."""
    text = "$ErrorActionPreference = 'Stop'\n" + text + "\nexit $LASTEXITCODE"
    encoded = base64.b64encode(text.encode("utf-16-le")).decode()
    command = ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-l", user, "--", host]
    command += ["powershell", "-NoProfile", "-NonInteractive", "-EncodedCommand", encoded]
    # Farmhand ends this program and all that it has started when its time is over.
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    said = (done.stderr if done.returncode else done.stdout).strip()
    return done.returncode == 0, said or f"exit status {done.returncode}"


def answer(request, arguments):
    if request.get("version") != 1:
        return {"outcome": "failed", "detail": f"version {request.get('version')} of the protocol is not known here"}
    host = request["host"].get("dnsHostName") or request["host"]["name"]
    text = script(request)
    if not arguments:
        return {"outcome": "succeeded", "detail": f"a dry run: would run on {host}: {text}"}
    _, user = arguments
    succeeded, said = run(user, host, text)
    return {"outcome": "succeeded" if succeeded else "failed", "detail": said}


def main():
    arguments = sys.argv[1:]
    if arguments and (len(arguments) != 2 or arguments[0] != "--ssh"):
        sys.exit("usage: host-action.py [--ssh USER]")
    try:
        result = answer(json.load(sys.stdin), arguments)
    except (KeyError, TypeError, ValueError, OSError) as error:
        result = {"outcome": "failed", "detail": f"{type(error).__name__}: {error}"}
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main()
