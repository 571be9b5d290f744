"""The table of hostile and broken submissions."""

from __future__ import annotations

from hostile.folders import Case

LASTING = (
    Case("endless_loop", "time_limit", "while True: pass"),
    Case("sleeps", "time_limit", "time.sleep(1000)"),
    Case("sleeps_when_imported", "time_limit", whole="import time; time.sleep(1000)"),
    Case("ignores_signals", "time_limit", """
        for number in range(1, 65):
            try: signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError): pass
        while True: time.sleep(1)
    """),
    Case("waits_for_a_child", "time_limit", """
        subprocess.run(["/bin/sh", "-c", "trap '' TERM; sleep 1000"])
    """),
    Case("stops_itself", "time_limit", "os.kill(os.getpid(), signal.SIGSTOP)"),
    Case("threads_never_end", "ok", """
        threading.Thread(target=time.sleep, args=(1000,)).start()
        return self.good()
    """),
    Case("exit_handler_never_ends", "ok", """
        import atexit
        atexit.register(time.sleep, 1000)
        return self.good()
    """),
    Case("reads_standard_input", "crashed", "input()", reason="predict: EOFError"),
)  # fmt: skip

PROCESSES = (
    Case("fork_bomb", "process_limit", "while True: os.fork()"),
    Case("fork_bomb_that_hides_errors", "process_limit", """
        while True:
            try: os.fork()
            except OSError: pass
    """),
    Case("thread_bomb", "process_limit", """
        while True: threading.Thread(target=time.sleep, args=(1000,)).start()
    """),
    Case("daemon", "ok", """
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                while True: time.sleep(0.1)
            os._exit(0)
        return self.good()
    """),
    Case("daemon_that_ignores_signals", "ok", """
        if os.fork() == 0:
            os.setsid()
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            for number in range(3): os.close(number)
            while True: time.sleep(0.1)
        return self.good()
    """),
    Case("daemon_that_breeds", "ok", """
        if os.fork() == 0:
            while True:
                if os.fork() == 0: os.setsid()
                else: os._exit(0)
        return self.good()
    """),
    Case("kills_its_parent", "ok", """
        attempt("kill", os.kill, os.getppid(), signal.SIGKILL)
        attempt("stop", os.kill, os.getppid(), signal.SIGSTOP)
        time.sleep(0.2)
        return self.good()
    """),
    Case("kills_everything", "ok", """
        try: os.kill(-1, signal.SIGKILL)
        except OSError: pass
        return self.good()
    """),
    Case("kills_the_harness", "ok", """
        attempt("kill", os.kill, {{harness}}, signal.SIGKILL)
        return self.good()
    """),
    Case("traces_its_parent", "ok", """
        libc = ctypes.CDLL(None)
        for process in (1, os.getppid()):
            attempt("attach", libc.ptrace, 16, process, 0, 0)
            attempt("memory", open, f"/proc/{process}/mem", "rb")
        return self.good()
    """),
    Case("takes_more_processors", "ok", """
        try: os.sched_setaffinity(0, range(1024))
        except OSError: pass
        if len(os.sched_getaffinity(0)) > 1: escaped("affinity")
        return self.good()
    """),
    Case("raises_its_limits", "ok", """
        import resource
        attempt("limit", resource.setrlimit, resource.RLIMIT_CORE, (1, 1))
        attempt("priority", os.nice, -5)
        return self.good()
    """),
)  # fmt: skip

MEMORY = (
    Case("memory_hog", "memory_limit", """
        held = []
        while True: held.append(bytearray(10**7))
    """),
    Case("memory_at_once", "memory_limit", "return np.ones(10**13)"),
    Case("memory_in_a_child", "memory_limit", """
        def hog():
            held = []
            while True: held.append(bytearray(10**7))
        os.waitpid(run_apart(hog), 0)
        return self.good()
    """),
    Case("memory_in_many_children", "memory_limit", """
        def hold():
            held = bytearray(3 * 10**7)
            time.sleep(1000)
        for _ in range(20): run_apart(hold)
        time.sleep(1000)
    """),
    Case("shared_memory", "memory_limit", """
        import mmap
        held = mmap.mmap(-1, 10**9)
        for start in range(0, 10**9, 4096): held[start] = 1
        return self.good()
    """),
    Case("memory_file", "memory_limit", """
        number = os.memfd_create("hog")
        while True: os.write(number, bytes(10**6))
    """),
)  # fmt: skip

FILES = (
    Case("disk_hog", "output_limit", """
        with open("/scratch/hog", "wb") as stream:
            while True: stream.write(bytes(10**6))
    """),
    Case("disk_hog_in_tmp", "output_limit", """
        import tempfile
        with tempfile.TemporaryFile() as stream:
            while True: stream.write(bytes(10**6))
    """),
    Case("disk_hog_in_shared_memory", "output_limit", """
        with open("/dev/shm/hog", "wb") as stream:
            while True: stream.write(bytes(10**6))
    """),
    Case("disk_hog_in_its_folder", "output_limit", """
        with open("hog", "wb") as stream:
            while True: stream.write(bytes(10**6))
    """),
    Case("many_small_files", "output_limit", """
        for number in range(10**6): open(f"/scratch/{number}", "w").close()
    """),
    Case("disk_hog_that_recovers", "ok", """
        try:
            with open("/scratch/hog", "wb") as stream:
                while True: stream.write(bytes(10**6))
        except OSError:
            os.remove("/scratch/hog")
        return self.good()
    """),
    Case("prints_a_gigabyte", "output_limit", """
        for _ in range(1000): sys.stdout.write("x" * 10**6)
        return self.good()
    """),
    Case("prints_errors_without_end", "output_limit", "while True: os.write(2, bytes(10**5))"),
    Case("child_prints_without_end", "output_limit", """
        subprocess.run(["/bin/sh", "-c", "while :; do echo endless endless endless; done"])
    """),
    Case("writes_into_its_folder", "ok", """
        os.remove("my_submission/user_config.py")
        for name in ("new.txt", "my_submission/user_config.py", "my_submission/new.txt"):
            with open(name, "w") as stream: stream.write("changed")
        return self.good()
    """),
    Case("writes_outside", "ok", """
        places = ("/x", "/etc/passwd", "/usr/x", "/data/x", "/proc/x", "/sys/x", "/dev/x",
                  "{{outside}}/x", "{{submissions}}/x", "{{dataset}}/x", sys.prefix + "/x")
        for place in places: attempt(place, open, place, "w")
        for module in (np, csv): attempt(module.__name__, open, module.__file__, "a")
        return self.good()
    """),
    Case("writes_into_the_data", "ok", """
        for name in os.listdir(self.data):
            path = os.path.join(self.data, name)
            attempt("chmod", os.chmod, path, 0o777)
            attempt("utime", os.utime, path)
            attempt("rename", os.rename, path, path + "x")
        for photo in os.listdir(self.data + "/gallery"):
            path = f"{self.data}/gallery/{photo}"
            attempt("chmod", os.chmod, path, 0o777)
            attempt("write", open, path, "ab")
            attempt("remove", os.remove, path)
            attempt("link", os.link, path, "/scratch/link")
        return self.good()
    """),
    Case("leaves_a_deep_folder", "ok", """
        for _ in range(900):
            os.mkdir("deep"); os.chdir("deep")
        return self.good()
    """),
    Case("leaves_strange_files", "ok", """
        os.mkfifo("/scratch/answer.npy")
        os.symlink("/etc/passwd", "answer.npy")
        os.symlink("{{labels}}", "/scratch/ranks.npy")
        os.mkdir("/scratch/deep"); os.chmod("/scratch/deep", 0)
        return self.good()
    """),
)  # fmt: skip

SECRETS = (
    Case("reads_the_labels", "ok", """
        for path in ("{{labels}}", "{{dataset}}/queries.csv", "../gallery.csv", "../../gallery.csv",
                     "{{dataset}}/ground_truth.csv"):
            attempt(path, text_of, path)
        if "product_id" in text_of(self.data + "/gallery.csv"): escaped("gallery.csv")
        if "product_id" in text_of(self.data + "/queries.csv"): escaped("queries.csv")
        return self.good()
    """),
    Case("searches_for_labels", "ok", """
        for top in ("/data", "/scratch", "/submission", "/tmp", "/work", "/home", "/root", "/mnt",
                    "/srv", "/var", "/media"):
            for folder, _, files in os.walk(top):
                for name in files:
                    if name.endswith(".csv") and "site-packages" not in folder:
                        if "{{secret}}" in text_of(os.path.join(folder, name)):
                            escaped(os.path.join(folder, name))
        return self.good()
    """),
    Case("looks_through_process_one", "ok", """
        for process in (1, os.getppid()):
            for name in ("root", "cwd", "fd", "environ", "mem", "maps", "map_files"):
                path = f"/proc/{process}/{name}"
                attempt(path, os.listdir if name in ("root", "cwd", "fd", "map_files") else text_of,
                        path)
            attempt("labels", text_of, f"/proc/{process}/root/{{labels}}")
        return self.good()
    """),
    Case("tells_photos_apart_by_their_files", "ok", """
        found = [os.stat(self.data + f"/gallery/{n}.png") for n in self.gallery]
        if len({(s.st_mtime_ns, s.st_nlink) for s in found}) > 1: escaped("times")
        if found[0].st_nlink > 1: escaped("links")
        return self.good()
    """),
    Case("links_to_the_labels", "ok", """
        attempt("link in its folder", text_of, "leak.csv")
        os.symlink("{{labels}}", "/scratch/leak.csv")
        attempt("link", text_of, "/scratch/leak.csv")
        attempt("hard link", os.link, "{{labels}}", "/scratch/hard.csv")
        return self.good()
    """, links={"leak.csv": "{{labels}}"}),
    Case("reads_the_environment", "ok", """
        for name in os.listdir("/proc"):
            if name.isdigit():
                try: text = text_of(f"/proc/{name}/environ") + text_of(f"/proc/{name}/cmdline")
                except OSError: continue
                if "{{secret}}" in text: escaped(name)
        if "{{secret}}" in str(os.environ): escaped("environ")
        return self.good()
    """),
    Case("reads_other_submissions", "ok", """
        for path in ("{{submissions}}", "..", "../endless_loop"):
            try: names = os.listdir(path)
            except OSError: continue
            if "endless_loop" in names: escaped(path)
        return self.good()
    """),
    Case("reads_the_home_folder", "ok", """
        attempt("outside", text_of, "{{outside}}/secret.txt")
        attempt("shadow", text_of, "/etc/shadow")
        for place in ("/root/.ssh", "/root/.bashrc", "/home", "/var"):
            attempt(place, os.listdir, place)
        return self.good()
    """),
    Case("uses_inherited_files", "ok", """
        numbers = {int(name) for name in os.listdir("/proc/self/fd")}
        for number in numbers - {0, 1, 2, 3, 4}:
            try: target = os.readlink(f"/proc/self/fd/{number}")
            except OSError: continue
            if not target.startswith(("/proc", "/submission", "/data")): escaped(target)
        return self.good()
    """),
    Case("uses_devices", "ok", """
        for name in ("vda", "sda", "mem", "kmem", "tty", "kmsg", "fuse", "net/tun"):
            attempt(name, open, "/dev/" + name, "rb")
        attempt("mknod", os.mknod, "/scratch/disk", 0o600 | 0o060000, os.makedev(254, 0))
        return self.good()
    """),
    Case("changes_the_kernel", "ok", """
        for path in ("/proc/sysrq-trigger", "/proc/sys/kernel/hostname", "/proc/sys/vm/drop_caches",
                     "/proc/sys/user/max_user_namespaces", "/proc/1/oom_score_adj",
                     "/proc/sys/kernel/core_pattern", "/sys/fs/cgroup/memory/cgroup.procs"):
            def write(path=path):
                with open(path, "w") as stream: stream.write("1")
            attempt(path, write)
        return self.good()
    """),
)  # fmt: skip

NETWORK = (
    Case("connects_out", "ok", """
        attempt("by name", socket.create_connection, ("{{address}}", {{port}}), 1)
        for host in ("192.0.2.1", "198.51.100.1", "203.0.113.1"):  # Of documentation: no one's.
            try: socket.create_connection((host, 53), 1)
            except OSError as error:
                if error.errno != errno.ENETUNREACH: escaped((host, error))
            else: escaped(host)
        return self.good()
    """),
    Case("connects_to_the_machine", "ok", """
        for host in ("127.0.0.1", "localhost", "::1", "0.0.0.0"):
            attempt(host, socket.create_connection, (host, {{port}}), 1)
        return self.good()
    """),
    Case("asks_for_names", "ok", """
        attempt("name", socket.getaddrinfo, "example.com", 80)
        channel = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        attempt("datagram", channel.sendto, b"x", ("192.0.2.1", 53))
        return self.good()
    """),
    Case("connects_to_sockets_of_files", "ok", """
        sockets = ("/run/docker.sock", "/var/run/docker.sock")
        for address in ("{{socket}}", b"\\0{{abstract}}", *sockets):
            attempt(address, socket.socket(socket.AF_UNIX).connect, address)
        return self.good()
    """),
    Case("opens_raw_sockets", "ok", """
        attempt("raw", socket.socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        attempt("packet", socket.socket, socket.AF_PACKET, socket.SOCK_RAW, 0)
        return self.good()
    """),
    Case("opens_other_sockets", "ok", """
        for family in range(46):
            if family not in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
                    attempt((family, kind), socket.socket, family, kind)
        return self.good()
    """),
    Case("makes_sockets_past_a_filter", "ok", """
        libc = ctypes.CDLL(None)
        attempt("io_uring", libc.syscall, 425, 8, ctypes.create_string_buffer(120))
        return self.good()
    """),
    Case("talks_to_itself", "ok", """
        server = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(server.getsockname(), 5)
        return self.good()
    """),
)  # fmt: skip

PRIVILEGES = (
    Case("mounts", "ok", """
        libc = ctypes.CDLL(None)
        attempt("tmpfs", libc.mount, b"x", b"/scratch", b"tmpfs", 0, None)
        attempt("bind", libc.mount, b"/", b"/scratch", None, 4096, None)
        attempt("writable", libc.mount, None, b"/data", None, 4096 | 32, None)
        attempt("unmount", libc.umount2, b"/data", 2)
        return self.good()
    """),
    Case("makes_namespaces", "ok", """
        libc = ctypes.CDLL(None)
        for flag in (0x10000000, 0x10020000, 0x00020000, 0x40000000, 0x20000000):
            attempt(hex(flag), libc.unshare, flag)
        return self.good()
    """),
    Case("leaves_a_key", "ok", """
        libc = ctypes.CDLL(None)
        add, keyctl = {"x86_64": (248, 250), "aarch64": (217, 219)}[os.uname().machine]
        for ring in (-1, -2, -3, -4, -5):
            attempt(("add", ring), libc.syscall, add, b"user", b"shoplens", b"x", 1, ring)
            attempt(("clear", ring), libc.syscall, keyctl, 7, ring)
        return self.good()
    """),
    Case("lowers_its_place_in_the_queue_of_victims", "ok", """
        before = int(text_of("/proc/self/oom_score_adj"))
        try:
            with open("/proc/self/oom_score_adj", "w") as stream: stream.write("-500")
        except OSError: pass
        if int(text_of("/proc/self/oom_score_adj")) < before: escaped("oom_score_adj")
        return self.good()
    """),
    Case("changes_root", "ok", """
        attempt("root", os.chroot, "/scratch")
        for function, *rest in ((os.setuid, 0), (os.setgid, 0), (os.setgroups, [0])):
            attempt(function.__name__, function, *rest)
        return self.good()
    """),
    Case("changes_the_clock", "ok", """
        attempt("clock", time.clock_settime, time.CLOCK_REALTIME, time.time() + 1000)
        return self.good()
    """),
    Case("runs_set_user_id_programs", "ok", """
        mount = ["/usr/bin/mount", "-t", "tmpfs", "x", "/scratch"]
        for command in (["/bin/su", "-c", "id"], mount):
            try: done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL)
            except OSError: continue
            if done.returncode == 0: escaped(command)
        return self.good()
    """),
)  # fmt: skip

ANSWERS = (
    Case("floats", "ok", "return self.good().astype(float)"),
    Case("lists", "ok", "return self.good().tolist()"),
    Case("big_endian", "ok", "return self.good().astype('>i8')"),
    Case("nan", "invalid_answer", "return self.good() * float('nan')", reason="NaN"),
    Case("objects", "invalid_answer", "return self.good().astype(object)", reason="objects"),
    Case("pickle_bomb", "invalid_answer", """
        class Bomb:
            def __reduce__(self): return os.system, ("touch {{outside}}/exploded",)
        return np.array([[Bomb()]])
    """),
    Case("pickle_bomb_sent_by_hand", "invalid_answer", """
        import io, pickle
        class Bomb:
            def __reduce__(self): return os.system, ("touch {{outside}}/exploded",)
        stream = io.BytesIO()
        np.save(stream, np.array([Bomb()], dtype=object), allow_pickle=True)
        send(stream.getvalue())
        os._exit(0)
    """),
    Case("unknown_ids", "invalid_answer", "return self.good() + 12345"),
    Case("repeats", "invalid_answer", """
        answer = self.good()
        answer[:, 1] = answer[:, 0]
        return answer
    """, reason="repeat"),
    Case("too_few_rows", "invalid_answer", "return self.good()[:-1]", reason="rows"),
    Case("too_few_columns", "invalid_answer", "return self.good()[:, :-1]", reason="columns"),
    Case("one_dimension", "invalid_answer", "return self.good()[0]", reason="shape"),
    Case("text", "invalid_answer", "return 'the first one'"),
    Case("dictionary", "invalid_answer", "return {1: 2}"),
    Case("ragged", "invalid_answer", "return [[1, 2], [3]]"),
    Case("empty", "invalid_answer", "return np.empty((0, 0))"),
    Case("none", "no_answer", "return None", reason="None"),
    Case("huge", "output_limit", "return np.zeros((10**5, 10**5), dtype=np.int8)"),
    Case("endless_answer", "output_limit", "while True: os.write(4, bytes(10**5))"),
    Case("garbage_sent_by_hand", "invalid_answer", """
        send(b"this is no array")
        os._exit(0)
    """),
    Case("header_that_lies", "invalid_answer", """
        header = str({"descr": "<i8", "fortran_order": False, "shape": (10**9, 1000)}).encode()
        send(b"\\x93NUMPY\\x01\\x00" + len(header).to_bytes(2, "little") + header)
        os._exit(0)
    """),
    Case("zip_that_lies", "invalid_answer", """
        import io, zipfile
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as members:
            members.writestr("ids.npy", bytes(10**8))
        send(stream.getvalue())
        os._exit(0)
    """),
    Case("sends_twice", "ok", """
        answer = self.good()
        def later():
            while True: os.write(4, b"tampered")
        import io
        stream = io.BytesIO()
        np.save(stream, answer)
        send(stream.getvalue() + b"tampered")
        os._exit(0)
    """),
    Case("lies_about_itself", "ok", """
        os.write(3, b'{"phase": 1}\\n[]\\n"x"\\n{"phase": ["x"]}\\n' + b"[" * 10**5 + b"\\n")
        os.write(3, b'{"message": {"a": 1}, "kind": [], "error": 5, "text": null}\\n')
        return self.good()
    """),
    Case("says_much_of_itself", "time_limit", """
        while True: os.write(3, b'{"a":"' + b"x" * 60000 + b'"}\\n')
    """),
    Case("talks_without_end", "ok", """
        for _ in range(200): os.write(3, b'{"phase": "predict"}\\n' * 1000)
        return self.good()
    """),
)  # fmt: skip

FAILURES = (
    Case("raises", "crashed", "raise ValueError('the reason')", reason="ValueError: the reason"),
    Case("raises_strangely", "crashed", """
        class Strange(BaseException):
            def __str__(self): return "\\x1b[2J" + "x" * 10**5
        raise Strange
    """, reason="Strange"),
    Case("tells_its_team", "crashed", "self.raise_aicrowd_error('too few photos')",
         reason="too few photos"),
    Case("exits", "no_answer", "sys.exit()"),
    Case("exits_with_a_code", "crashed", "sys.exit(3)", reason="exit code 3"),
    Case("exits_with_words", "crashed", "sys.exit('no')"),
    Case("exits_at_once", "no_answer", "os._exit(0)"),
    Case("exits_at_once_with_a_code", "crashed", "os._exit(7)", reason="exit code 7"),
    Case("segfaults", "crashed", "ctypes.string_at(0)", reason="signal 11"),
    Case("aborts", "crashed", "os.abort()", reason="signal 6"),
    Case("kills_itself", "crashed", "os.kill(os.getpid(), signal.SIGKILL)", reason="signal 9"),
    Case("recurses", "crashed", "return self.predict_product_ranks()", reason="RecursionError"),
    Case("needs_a_module", "crashed", reason="import: ModuleNotFound",
         whole="import no_such_module"),
    Case("has_a_syntax_error", "crashed", whole="class My_Ranker(:", reason="import: SyntaxError"),
    Case("has_no_ranker", "crashed", whole="Ranker = 1", reason="import: AttributeError"),
    Case("has_another_constructor", "crashed", reason="construct: TypeError",
         whole="class My_Ranker:\n    def __init__(self): pass"),
    Case("has_no_method", "crashed", reason="AttributeError",
         whole="class My_Ranker:\n    def __init__(self, *_): pass"),
    Case("has_more_folders_than_files_it_may_make", "cannot_start", "return self.good()",
         files={f"deep/{n}/a": "" for n in range(1100)}, reason="scratch files"),
    Case("has_folders_inside_folders", "cannot_start", files={"deep/" * 40 + "a": ""},
         reason="more than 32 deep"),
    Case("has_no_user_config", "cannot_start", without=("my_submission/user_config.py",),
         reason="user_config"),
    Case("has_no_config", "cannot_start", without=("aicrowd.json",), reason="aicrowd.json"),
)  # fmt: skip

CASES = (
    *LASTING, *PROCESSES, *MEMORY, *FILES, *SECRETS, *NETWORK, *PRIVILEGES, *ANSWERS, *FAILURES,
)  # fmt: skip
