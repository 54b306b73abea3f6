/**
 * By hand, as root, on Linux: the soak of file-channel-soak.ts, each life ended by what ext4 itself
 * offers as a power cut. Its shutdown (EXT4_IOC_SHUTDOWN without a flush of the journal) drops all
 * that is not on the disk, as a device that loses power does; after it the journal is replayed by a
 * mount. In between the file system, on a loop device of 64 MiB, is real.
 *
 *     node --conditions=millrace-source --import tsx --test test/chaos/power-cut.ts
 *
 * CUTS=50 says how often. Needs mkfs.ext4, mount and python3, which makes the one system call that
 * Node has no word for.
 */
import { tempDirectory } from "@millrace/testing";
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { soakFileChannel } from "./file-channel-soak.ts";

const cuts = Number(process.env["CUTS"] ?? "50");
const seed = Number(process.env["SEED"] ?? "1");
const shutDown = `
import fcntl, os, struct, sys
# _IOR('X', 125, __u32), flag 2: do not write the journal.
fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack("I", 2))
`;

test(`a file channel on ext4 whose power is cut ${cuts} times loses nothing it said OK to`, async (t) => {
  const folder = await tempDirectory(t);
  const image = join(folder, "disk.img");
  const mountPoint = join(folder, "disk");
  mkdirSync(mountPoint);
  writeFileSync(image, "");
  run("truncate", "-s", "64M", image);
  run("mkfs.ext4", "-q", image);
  run("mount", "-o", "loop", image, mountPoint);
  try {
    await soakFileChannel(t, {
      seed,
      kills: cuts,
      durationMs: 3_600_000,
      directory: join(mountPoint, "data"),
      async end(child) {
        run("python3", "-c", shutDown, mountPoint);
        child.signal("SIGKILL");
        await child.exited();
        run("umount", mountPoint);
        run("mount", "-o", "loop", image, mountPoint);
      },
    });
  } finally {
    run("umount", mountPoint);
  }
});

function run(program: string, ...args: readonly string[]): void {
  execFileSync(program, args, { stdio: ["ignore", "inherit", "inherit"] });
}
