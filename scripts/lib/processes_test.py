"""As summary_test.py."""

import subprocess
import sys
import unittest
from pathlib import Path

LISTENER = """
import os, socket, sys, time
server = socket.create_server(("127.0.0.1", 0))
while time.process_time() < 0.2:  # 20 ticks
    pass
for _ in range(int(sys.argv[1])):
    if not os.fork():
        sys.stdin.read()  # until whoever started it goes
        os._exit(0)
print(server.getsockname()[1], os.getpid(), flush=True)
sys.stdin.read()
"""


class Command:
    """A shell, in a session of its own, around a process that listens, which may have workers."""

    def __init__(self, workers):
        self.shell = subprocess.Popen(
            ["sh", "-c", f"{sys.executable} -c '{LISTENER}' {workers}; :"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )

    def __enter__(self):
        self.port, self.listener = self.shell.stdout.readline().split()
        return self

    def __exit__(self, *_):
        self.shell.communicate()

    def ask(self, what, *arguments):
        script = Path(__file__).parent / "processes.py"
        return subprocess.run([sys.executable, script, what, str(self.shell.pid), *arguments], capture_output=True, text=True)


class Processes(unittest.TestCase):
    def test_the_process_that_listens_is_found_behind_a_shell(self):
        with Command(0) as command:
            self.assertEqual(command.listener, command.ask("serving", command.port).stdout.strip())

    def test_a_worker_is_found_behind_its_master(self):
        with Command(1) as command:
            found = command.ask("serving", command.port).stdout.strip()
            self.assertTrue(found.isdigit())
            self.assertNotIn(found, (command.listener, str(command.shell.pid)))

    def test_two_workers_are_refused(self):
        with Command(2) as command:
            found = command.ask("serving", command.port)
            self.assertNotEqual(0, found.returncode)
            self.assertIn("one worker", found.stderr)

    def test_a_port_of_somebody_else_is_refused(self):
        with Command(0) as command, Command(0) as other:
            found = command.ask("serving", other.port)
            self.assertNotEqual(0, found.returncode)
            self.assertIn("foreground", found.stderr)

    def test_what_a_session_takes_beside_one_process_is_counted(self):
        with Command(0) as command:
            beside_shell, beside_listener = (int(command.ask("others", pid).stdout) for pid in (str(command.shell.pid), command.listener))
            self.assertGreater(beside_shell, 10)
            self.assertLess(beside_listener, 10)


if __name__ == "__main__":
    unittest.main()
