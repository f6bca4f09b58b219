"""What every server's process runs first: changes the user, binds its life to its parent's, becomes the server.

Called as `python with_parent.py PARENT USER FOLDER COMMAND…`: PARENT is the process whose end must end the server, 0
where the server outlives it; USER is whom to become, - for no change. Alone in its file: it runs without the package.
"""

import ctypes
import os
import pwd
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(parent: int, user: str, folder: str, command: list[str]) -> None:
    """Never returns: this process becomes the command, or ends."""
    os.setsid()
    os.chdir(folder)
    if user != "-":
        account = pwd.getpwnam(user)
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    if parent:
        # After the change of user, which clears it.
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before it could be watched
            sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
