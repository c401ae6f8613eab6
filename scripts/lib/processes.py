"""Processes of a command that scripts/ladder started as the leader of a session of its own.

processes.py serving SESSION PORT  the process that takes connections at this port
processes.py others SESSION PID    CPU ticks of every process of the session but this one, with those of children that have ended
"""

import sys
from pathlib import Path

LISTENS = "0A"  # of /proc/net/tcp, which has ports in hexadecimal


def stat(pid):
    """Fields of proc_pid_stat(5) from the third on; the name in the second may hold spaces."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return None


def session(leader):
    """Its processes, each with its fields."""
    found = {int(path.name): stat(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()}
    return {pid: fields for pid, fields in found.items() if fields and int(fields[3]) == leader}


def sockets(pid):
    """What /proc calls the sockets that a process holds."""
    held = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            held.add(str(descriptor.readlink()))
        except OSError:  # closed since
            pass
    return held


def serving(leader, port):
    listening = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS and int(fields[1].rpartition(":")[2], 16) == port:
                listening.add(f"socket:[{fields[9]}]")
    processes = session(leader)
    holders = {pid for pid in processes if sockets(pid) & listening}
    # A master holds the socket for its worker, who does the work.
    holders -= {int(processes[pid][1]) for pid in holders}
    if not holders:
        sys.exit(f"no process of its command listens at port {port}: the command must stay in the foreground")
    if len(holders) > 1:
        names = ", ".join(map(str, sorted(holders)))
        sys.exit(f"processes {names} all listen at port {port}: it has one CPU here, so let it have one worker")
    print(*holders)


def others(leader, watched):
    ticks = 0
    for pid, fields in session(leader).items():
        own, ended = fields[11:13], fields[13:15]
        ticks += sum(map(int, ended if pid == watched else own + ended))
    print(ticks)


if __name__ == "__main__":
    {"serving": serving, "others": others}[sys.argv[1]](*map(int, sys.argv[2:]))
