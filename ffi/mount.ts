/**
 * Mounts: the classic mount(2), the file-descriptor interface of Linux 5.2 (fsopen…), and what a mount needs around it.
 *
 * Contract of every call: synchronous unless its name ends in Async; acts in the mount namespace, and with the working
 * directory, of the calling thread; failure throws SyscallError with the syscall's name and the path. Sources: mount(2),
 * umount2(2), mount_setattr(2), and linux/mount.h for the calls that have no manual page.
 */

/** MS_* flags of mount(2). */
export const MS = {
  RDONLY: 1,
  NOSUID: 2,
  NODEV: 4,
  NOEXEC: 8,
  REMOUNT: 32,
  BIND: 4096,
  REC: 16384,
  PRIVATE: 1 << 18,
  SLAVE: 1 << 19,
  SHARED: 1 << 20,
} as const;

/** Flags of umount2(2). */
export const UMOUNT = { FORCE: 1, DETACH: 2, EXPIRE: 4, NOFOLLOW: 8 } as const;

/** Commands of fsconfig. */
export const FSCONFIG = { SET_FLAG: 0, SET_STRING: 1, SET_FD: 5, CMD_CREATE: 6 } as const;

/** MOUNT_ATTR_* flags of fsmount and mount_setattr. */
export const MOUNT_ATTR = { RDONLY: 1, NOSUID: 2, NODEV: 4, NOEXEC: 8 } as const;

/** Flags of move_mount: the source, or target, is the descriptor itself. */
export const MOVE_MOUNT = { F_EMPTY_PATH: 0x04, T_EMPTY_PATH: 0x40 } as const;

/** Flags of open_tree. */
export const OPEN_TREE = { CLONE: 1, CLOEXEC: 0o2000000, RECURSIVE: 0x8000, EMPTY_PATH: 0x1000 } as const;

/** `flags` of mount_setattr: the descriptor itself; everything below too. */
export const SETATTR = { EMPTY_PATH: 0x1000, RECURSIVE: 0x8000, NOFOLLOW: 0x100 } as const;

/** What mount_setattr changes; zeros leave all as it is. */
export interface MountAttributes {
  /** MOUNT_ATTR_* to set. */
  set: number;
  /** MOUNT_ATTR_* to clear. */
  clear: number;
  /** One of MS.PRIVATE, MS.SLAVE, MS.SHARED, or 0. */
  propagation: number;
}

/** File attribute flags (FS_IOC_GETFLAGS, chattr(1)) that stand in the way of removal. */
export const INODE_FLAG = { IMMUTABLE: 0x10, APPEND: 0x20 } as const;

/** Mount calls of the kernel. Descriptors returned are close-on-exec and the caller closes them. */
export interface MountKernel {
  /** Mounts. An undefined source, type or data passes NULL. Data longer than a page fails (E2BIG or EINVAL, by file system). */
  mount(source: string | undefined, target: string, type: string | undefined, flags: number, data?: string): void;
  /** Unmounts. EINVAL when the target is no mount point; EBUSY without DETACH while in use. May wait for a sync of the disk. */
  umount2(target: string, flags: number): void;
  /**
   * As umount2, on a pool thread, because the sync that unmounting an overlay does can take seconds. errno cannot be read
   * there: false stands for any failure, and a synchronous call after it tells which.
   */
  umount2Async(target: string, flags: number): Promise<boolean>;
  /** Opens a file system to configure. ENODEV for an unknown type; ENOSYS before Linux 5.2. */
  fsopen(type: string): number;
  /** Sets a flag or string, or creates the superblock. EINVAL for what the file system does not know. Details: {@linkcode MountKernel.fsMessages}. */
  fsconfig(fd: number, command: number, key?: string, value?: string): void;
  /** The messages a configuration descriptor has gathered since last read, one a line; empty when none. */
  fsMessages(fd: number): string;
  /** Makes a detached mount of a created superblock. */
  fsmount(fd: number, attributes: number): number;
  /** Attaches a mount, or moves one. Empty paths go with the flags of {@linkcode MOVE_MOUNT}. */
  moveMount(fromFd: number, fromPath: string, toFd: number, toPath: string, flags: number): void;
  /** Opens a mount; with CLONE, a detached copy. */
  openTree(dirFd: number, path: string, flags: number): number;
  /** Changes attributes of a mount, or with RECURSIVE of all below, in one step. ENOSYS before Linux 5.12. */
  mountSetattr(dirFd: number, path: string, flags: number, attributes: MountAttributes): void;
  /** Gives the calling thread a working directory, root and umask of its own. Cannot be undone. */
  unshareFs(): void;
  /** Changes the working directory: the thread's own after {@linkcode MountKernel.unshareFs}, else the whole process's. */
  chdir(path: string): void;
  /** As chdir, to an open directory. */
  fchdir(fd: number): void;
  /** File attribute flags of an open file. ENOTTY or EOPNOTSUPP where the file system has none. */
  getInodeFlags(fd: number): number;
  /** Sets file attribute flags of an open file. */
  setInodeFlags(fd: number, flags: number): void;
}
