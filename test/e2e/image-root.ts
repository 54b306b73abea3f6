/** The image without an engine: its root assembled, and a program started in it as a container's would be. */
import { type Child, projectRoot, startChild } from "@millrace/testing";
import { execFileSync, spawnSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import type { TestContext } from "node:test";

/** What is mounted into the root: places of this machine. */
export interface ImageMounts {
  readonly state: string;
  readonly config: string;
  readonly logs: string;
}

export interface ImageUser {
  readonly uid: number;
  readonly gid: number;
}

/** Where in the root the program is that gives up user and capabilities: an engine does this from outside. */
const toolsFolder = ".tools";

/**
 * What the engine does before it starts the program: the root and the configuration cannot be written,
 * the state can, /tmp and /run/millrace are new memory. Its words: root, state, configuration, logs,
 * loader, uid, gid, variables, and what node is to be told.
 */
const enterScript = `
set -eu
root=$1 state=$2 config=$3 logs=$4 loader=$5 uid=$6 gid=$7 variables=$8
shift 8
mount --bind "$root" "$root"
mount --bind "$state" "$root/var/lib/millrace"
mount --bind "$config" "$root/etc/millrace"
mount -o remount,bind,ro "$root/etc/millrace"
mount --bind "$logs" "$root/var/log/pods"
mount -o remount,bind,ro "$root/var/log/pods"
mount -t tmpfs -o mode=1777 none "$root/tmp"
mount -t tmpfs -o mode=0777 none "$root/run/millrace"
mount -t proc none "$root/proc"
mount -o remount,bind,ro "$root"
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec env -i PATH="$PATH" $variables chroot "$root" \\
  "/${toolsFolder}/$loader" --library-path "/${toolsFolder}" "/${toolsFolder}/setpriv" \\
  --reuid "$uid" --regid "$gid" --clear-groups \\
  --bounding-set=-all --inh-caps=-all --ambient-caps=-all --no-new-privs \\
  /usr/local/bin/node "$@"`;

/** Why no root can be entered on this machine, or undefined. */
export function whyNoNamespaces(): string | undefined {
  if (process.platform !== "linux") return "namespaces are Linux's";
  if (process.getuid?.() !== 0) return "only root may mount and change users";
  for (const program of ["unshare", "setpriv", "chroot", "ldd"]) {
    if (spawnSync(program, ["--version"]).error !== undefined) return `there is no ${program}`;
  }
  const probe = ["--mount", "--pid", "--ipc", "--uts", "--fork", "mount", "-t", "tmpfs", "none"];
  const { status, stderr } = spawnSync("unshare", [...probe, "/mnt"], { encoding: "utf8" });
  return status === 0 ? undefined : `namespaces are not permitted: ${stderr.trim()}`;
}

/**
 * The Dockerfile's own script, and from this machine what the base image brings: node with the
 * libraries it is linked to, and nothing else: no shell, no passwd file, no npm.
 */
export function assembleRoot(root: string): string {
  const script = join(projectRoot, "scripts", "image", "assemble.mjs");
  const said = execFileSync(process.execPath, [script, root], { encoding: "utf8" });
  for (const name of ["tmp", "proc", "dev", "var/log/pods", toolsFolder]) {
    mkdirSync(join(root, name), { recursive: true, mode: 0o755 });
  }
  const node = realpathSync(process.execPath);
  copyTo(node, join(root, "usr/local/bin/node"));
  for (const library of librariesOf(node)) copyTo(library, join(root, library));
  const setpriv = realpathSync(execFileSync("which", ["setpriv"], { encoding: "utf8" }).trim());
  for (const file of [setpriv, ...librariesOf(setpriv)]) {
    copyTo(file, join(root, toolsFolder, basename(file)));
  }
  return said;
}

/** Starts node in the root, as process 1 of its own namespaces, without any capability. */
export function startInRoot(
  test: TestContext,
  root: string,
  mounts: ImageMounts,
  { uid, gid }: ImageUser,
  words: readonly string[],
): Child {
  const tools = readdirSync(join(root, toolsFolder));
  const loader = tools.find((name) => /^ld-(linux|musl)/.test(name)) ?? "";
  const { state, config, logs } = mounts;
  const given = [root, state, config, logs, loader, String(uid), String(gid), imageVariables()];
  const spaces = ["--mount", "--pid", "--ipc", "--uts", "--fork", "--kill-child"];
  return startChild(test, {
    command: ["unshare", ...spaces, "sh", "-c", enterScript, "sh", ...given, ...words],
  });
}

/** The ENV lines of the Dockerfile's last stage: `NODE_ENV=production HOME=/var/lib/millrace`. */
function imageVariables(): string {
  const text = readFileSync(join(projectRoot, "deploy", "docker", "Dockerfile"), "utf8");
  const [, ...lastStage] = text.split(/^FROM /m).slice(1);
  const found = [...lastStage.join("").matchAll(/^ENV (.+)$/gm)].map((match) => match[1] as string);
  if (found.length === 0) throw new Error("the Dockerfile sets no environment");
  return found.join(" ");
}

/** The host's number for process 1 of the namespaces that `child` made. */
export function firstProcessOf(child: Child): number {
  const listed = execFileSync("cat", [`/proc/${child.pid}/task/${child.pid}/children`]);
  return Number(listed.toString().trim());
}

/** The loader and the shared libraries that `ldd` names, by the paths at which they are looked for. */
function librariesOf(program: string): string[] {
  const said = execFileSync("ldd", [program], { encoding: "utf8" });
  return [...said.matchAll(/(?:=>\s+)?(\/\S+)\s+\(0x/g)].map((match) => match[1] as string);
}

function copyTo(from: string, to: string): void {
  if (existsSync(to)) return;
  mkdirSync(dirname(to), { recursive: true, mode: 0o755 });
  copyFileSync(realpathSync(from), to);
}
