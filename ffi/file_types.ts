/** Constants and records of the file area. Numbers are of the Linux user ABI; those that differ between machines follow the running one. */

const ARM = Deno.build.arch === "aarch64";

/** `dirFd` that stands for the working directory. */
export const AT_FDCWD = -100;

/** AT_* flags. */
export const AT = {
  SYMLINK_NOFOLLOW: 0x100,
  REMOVEDIR: 0x200,
  SYMLINK_FOLLOW: 0x400,
  NO_AUTOMOUNT: 0x800,
  EMPTY_PATH: 0x1000,
} as const;

/** O_* flags of openat. */
export const O = {
  RDONLY: 0,
  WRONLY: 1,
  RDWR: 2,
  CREAT: 0o100,
  EXCL: 0o200,
  NOCTTY: 0o400,
  TRUNC: 0o1000,
  APPEND: 0o2000,
  NONBLOCK: 0o4000,
  DIRECTORY: ARM ? 0o40000 : 0o200000,
  NOFOLLOW: ARM ? 0o100000 : 0o400000,
  NOATIME: 0o1000000,
  CLOEXEC: 0o2000000,
  PATH: 0o10000000,
  TMPFILE: 0o20000000 | (ARM ? 0o40000 : 0o200000),
} as const;

/** RESOLVE_* flags of openat2. */
export const RESOLVE = {
  NO_XDEV: 0x01,
  NO_MAGICLINKS: 0x02,
  NO_SYMLINKS: 0x04,
  BENEATH: 0x08,
  IN_ROOT: 0x10,
} as const;

/** File types and special bits of a mode. */
export const S = {
  IFMT: 0o170000,
  IFSOCK: 0o140000,
  IFLNK: 0o120000,
  IFREG: 0o100000,
  IFBLK: 0o060000,
  IFDIR: 0o040000,
  IFCHR: 0o020000,
  IFIFO: 0o010000,
  ISUID: 0o4000,
  ISGID: 0o2000,
  ISVTX: 0o1000,
} as const;

/** `whence` of lseek. */
export const SEEK = { SET: 0, CUR: 1, END: 2, DATA: 3, HOLE: 4 } as const;

/** Commands of fcntl, and FD_CLOEXEC. */
export const F = {
  GETFD: 1,
  SETFD: 2,
  GETFL: 3,
  SETFL: 4,
  DUPFD_CLOEXEC: 1030,
  SETPIPE_SZ: 1031,
  GETPIPE_SZ: 1032,
  FD_CLOEXEC: 1,
} as const;

/** Operations of flock. */
export const LOCK = { SH: 1, EX: 2, NB: 4, UN: 8 } as const;

/** Flags of renameat2. */
export const RENAME = { NOREPLACE: 1, EXCHANGE: 2, WHITEOUT: 4 } as const;

/** Modes of fallocate. */
export const FALLOC = { KEEP_SIZE: 1, PUNCH_HOLE: 2 } as const;

/** Flags of setxattr. */
export const XATTR = { CREATE: 1, REPLACE: 2 } as const;

/** Magic numbers of file systems as statfs gives them. */
export const FS_MAGIC = {
  TMPFS: 0x01021994,
  EXT4: 0xef53,
  XFS: 0x58465342,
  BTRFS: 0x9123683e,
  OVERLAYFS: 0x794c7630,
  PROC: 0x9fa0,
  NSFS: 0x6e736673,
  CGROUP2: 0x63677270,
} as const;

/** A time with nanoseconds. `sec` may be negative. */
export interface Timespec {
  /** Seconds since the epoch, rounded down. */
  sec: number;
  /** 0..999,999,999, or one of {@linkcode UTIME_NOW} and {@linkcode UTIME_OMIT}. */
  nsec: number;
}

/** Sets a time to now. */
export const UTIME_NOW: Timespec = { sec: 0, nsec: 0x3fffffff };

/** Leaves a time as it is. */
export const UTIME_OMIT: Timespec = { sec: 0, nsec: 0x3ffffffe };

/** Attributes of a file, from statx. */
export interface FileStat {
  /** Type and permission bits. */
  mode: number;
  nlink: number;
  uid: number;
  gid: number;
  ino: bigint;
  /** Bytes. */
  size: number;
  /** Units of 512 bytes on disk. */
  blocks: number;
  /** Preferred I/O size in bytes. */
  blockSize: number;
  atime: Timespec;
  mtime: Timespec;
  ctime: Timespec;
  /** Device that a device node stands for. */
  rdevMajor: number;
  rdevMinor: number;
  /** Device that holds the file. */
  devMajor: number;
  devMinor: number;
}

/** Space of a file system, from statfs. */
export interface FilesystemStat {
  /** One of {@linkcode FS_MAGIC}, or another. */
  type: number;
  /** Bytes in a block. */
  blockSize: number;
  blocks: number;
  blocksFree: number;
  /** Blocks that unprivileged users may still take. */
  blocksAvailable: number;
  files: number;
  filesFree: number;
}

/** One entry of a directory. */
export interface DirectoryEntry {
  /** Name as text; lossy when it is not UTF-8. */
  name: string;
  /** Name as bytes, ending in a NUL: pass these back to the kernel. */
  bytes: Uint8Array<ArrayBuffer>;
  /** File type as the S_IF… bits; 0 when the file system does not tell. */
  type: number;
  ino: bigint;
}
