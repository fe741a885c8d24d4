"""Fake workers for the supervisor's tests: the code of modules that are started instead of the worker."""

START = """
import os, signal, socket, sys, threading, time
from pathlib import Path
from edgecnn.server.supervisor.job import HEARTBEAT, HEARTBEAT_S, Notice, read_job, say
from edgecnn.host.lifeline import die_with_parent
job = read_job()
die_with_parent(job.supervisor_pid)
folder = Path(os.environ["NOTES"])
with (folder / "pids").open("a") as file:
    file.write(f"{os.getpid()}\\n")
listener = socket.socket(fileno=job.socket_fd)
listener.setblocking(True)
beating = threading.Event()
def heartbeat():
    while beating.wait():
        os.write(job.heartbeat_fd, HEARTBEAT)
        time.sleep(HEARTBEAT_S)
beating.set()
threading.Thread(target=heartbeat, daemon=True).start()
"""

SERVING = (
    START
    + """
stopping = threading.Event()
busy = threading.Lock()
def stop(number, frame):
    with (folder / "signals").open("a") as file:
        file.write(f"{signal.Signals(number).name}\\n")
    stopping.set()
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGHUP, lambda *_: say(job, Notice(reloaded=True)))
def serve():
    while True:
        client, _ = listener.accept()
        with busy, client:
            asked = client.recv(1000)
            if b"/slow" in asked:
                (folder / "asked").touch()
                time.sleep(1.0)
            if b"/crash" in asked:
                os.kill(os.getpid(), signal.SIGSEGV)
            body = str(os.getpid())
            client.sendall(f"HTTP/1.0 200 OK\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n{body}".encode())
threading.Thread(target=serve, daemon=True).start()
say(job, Notice(served=("lenet", "resnet")))
stopping.wait()
time.sleep(0.2)
with busy:
    os._exit(0)
"""
)
LOADING = START + "time.sleep(600)\n"
DEAF = START + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsay(job, Notice(served=('lenet',)))\ntime.sleep(600)\n"
DEAF_WHILE_LOADING = START + "signal.signal(signal.SIGTERM, signal.SIG_IGN)\ntime.sleep(600)\n"
SERVING_WHILE_LOADING = (
    START
    + """
def stop(number, frame):
    time.sleep(1.5)
    (folder / "answered").touch()
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
say(job, Notice())
(folder / "accepting").touch()
time.sleep(600)
"""
)
SILENT_AT_FIRST = SERVING.replace(
    "stopping.wait()",
    """
if len((folder / "pids").read_text().split()) == 1:
    import faulthandler
    from edgecnn.server.supervisor.job import STACK_SIGNAL
    faulthandler.register(STACK_SIGNAL, file=job.heartbeat_fd, all_threads=False)
    beating.clear()
    time.sleep(600)
stopping.wait()""",
)
BABBLING = (
    START
    + """
for line in __import__("json").loads(os.environ["GARBAGE"]):
    os.write(job.ready_fd, line.encode("latin-1"))
os.write(job.heartbeat_fd, b"not a heartbeat" * 1000)
def stop(number, frame):
    os._exit(0)
signal.signal(signal.SIGTERM, stop)
os.write(job.ready_fd, b"\\n")
say(job, Notice(served=("lenet\\n\\ud800" + "x" * 100_000,)))
time.sleep(600)
"""
)
CRASHING = START + "os.kill(os.getpid(), signal.SIGSEGV)\n"
STALLING = START + "from edgecnn.server.supervisor.job import STALLED\nos._exit(STALLED)\n"
LEAVING = START + "os._exit(0)\n"
REFUSING = START + "print('the worker says why', file=sys.stderr)\nsys.exit(int(os.environ['CODE']))\n"
NOTING_ENVIRONMENT = (
    START + "(folder / 'names').write_text(' '.join(os.environ))\nsay(job, Notice(served=()))\ntime.sleep(600)\n"
)
