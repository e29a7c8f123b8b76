/** Linux implementation of the terminal area. */

import { isErrno, SyscallError } from "../errno.ts";
import type { TtyKernel } from "../tty.ts";
import { addressOf, check, checkBig, cstr, openLibc } from "./libc.ts";

const O_RDWR_NOCTTY_NONBLOCK_CLOEXEC = 2 | 0o400 | 0o4000 | 0o2000000;
const TIOCGWINSZ = 0x5413n;
const TIOCSWINSZ = 0x5414n;
const TIOCGPTN = 0x80045430n;
const TIOCSPTLCK = 0x40045431n;
const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC_NONBLOCK = 1 | 0o2000000 | 0o4000;
const ACCEPT_FLAGS = 0o2000000 | 0o4000;
const MSG_CMSG_CLOEXEC = 0x40000000;
const EINVAL = 22;
const ENODATA = 61;

/** Opens the terminal area for the calling thread. */
export function linuxTty(): TtyKernel {
  const { symbols: libc } = openLibc({
    open: { parameters: ["buffer", "i32", "u32"], result: "i32" },
    ioctl: { parameters: ["i32", "u64", "buffer"], result: "i32" },
    socket: { parameters: ["i32", "i32", "i32"], result: "i32" },
    bind: { parameters: ["i32", "buffer", "u32"], result: "i32" },
    listen: { parameters: ["i32", "i32"], result: "i32" },
    accept4: { parameters: ["i32", "pointer", "pointer", "i32"], result: "i32" },
    recvmsg: { parameters: ["i32", "buffer", "i32"], result: "isize" },
    close: { parameters: ["i32"], result: "i32" },
  });
  const scratch = new Uint8Array(16);
  const view = new DataView(scratch.buffer);
  const none = <T>(act: () => T): T | undefined => {
    try {
      return act();
    } catch (e) {
      if (isErrno(e, "EAGAIN", "EINTR")) return undefined;
      throw e;
    }
  };

  return {
    openPty() {
      const masterFd = check(libc.open(cstr("/dev/ptmx"), O_RDWR_NOCTTY_NONBLOCK_CLOEXEC, 0), "open", "/dev/ptmx");
      try {
        view.setInt32(0, 0, true);
        check(libc.ioctl(masterFd, TIOCSPTLCK, scratch), "ioctl", "TIOCSPTLCK");
        check(libc.ioctl(masterFd, TIOCGPTN, scratch), "ioctl", "TIOCGPTN");
      } catch (e) {
        libc.close(masterFd);
        throw e;
      }
      return { masterFd, slavePath: `/dev/pts/${view.getInt32(0, true)}` };
    },
    setWindowSize(fd, { rows, cols }) {
      view.setUint16(0, rows, true);
      view.setUint16(2, cols, true);
      view.setUint32(4, 0, true);
      check(libc.ioctl(fd, TIOCSWINSZ, scratch), "ioctl", "TIOCSWINSZ");
    },
    getWindowSize(fd) {
      check(libc.ioctl(fd, TIOCGWINSZ, scratch), "ioctl", "TIOCGWINSZ");
      return { rows: view.getUint16(0, true), cols: view.getUint16(2, true) };
    },
    listenUnix(path) {
      const name = cstr(path);
      if (name.byteLength > 108) throw new SyscallError("bind", EINVAL, path);
      const address = new Uint8Array(110);
      new DataView(address.buffer).setUint16(0, AF_UNIX, true);
      address.set(name, 2);
      const fd = check(libc.socket(AF_UNIX, SOCK_STREAM_CLOEXEC_NONBLOCK, 0), "socket");
      try {
        check(libc.bind(fd, address, 2 + name.byteLength), "bind", path);
        check(libc.listen(fd, 4), "listen", path);
      } catch (e) {
        libc.close(fd);
        throw e;
      }
      return fd;
    },
    acceptUnix: (fd) => none(() => check(libc.accept4(fd, null, null, ACCEPT_FLAGS), "accept4")),
    receiveDescriptor(fd) {
      // msghdr: iov@16, iovlen@24, control@32, controllen@40. cmsghdr: len@0, level@8, type@12, data@16.
      const data = new Uint8Array(4096);
      const iov = new BigUint64Array([addressOf(data), 4096n]);
      const control = new Uint8Array(64);
      const header = new Uint8Array(56);
      const h = new DataView(header.buffer);
      h.setBigUint64(16, addressOf(iov), true);
      h.setBigUint64(24, 1n, true);
      h.setBigUint64(32, addressOf(control), true);
      h.setBigUint64(40, 64n, true);
      const n = none(() => checkBig(BigInt(libc.recvmsg(fd, header, MSG_CMSG_CLOEXEC)), "recvmsg"));
      if (n === undefined) return undefined;
      const c = new DataView(control.buffer);
      const isRights = h.getBigUint64(40, true) >= 20n && c.getInt32(8, true) === 1 && c.getInt32(12, true) === 1;
      if (!isRights) throw new SyscallError("recvmsg", ENODATA, "SCM_RIGHTS");
      return c.getInt32(16, true);
    },
  };
}
