/**
 * A rendered pod as a process of this machine: the same words, environment and files, with the directories of the pod
 * below a temporary one, its ports free ones, and names of Services as loopback.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { type Child, freePort, programCommand, startChild, tempDirectory, waitFor } from "@millrace/testing"; // prettier-ignore
import { type Container, find, isWorkload, type Manifest, componentOf } from "./manifest.ts";

export type Role = "edge" | "collector";

/** What all pods of a test share. */
export interface Stage {
  readonly directory: string;
  /** Ports of the chart, as those of this machine: 4141 to a free one. */
  readonly ports: ReadonlyMap<number, number>;
  /** Where the certificates are. */
  readonly tls: string;
}

export interface RunningPod {
  readonly child: Child;
  readonly directory: string;
  /** The configuration as it runs. */
  readonly conf: string;
  /** The status of one of the manifest's own probes: now, or 0 when nobody answers. */
  probe(name: "startupProbe" | "livenessProbe" | "readinessProbe"): Promise<number>;
  url(path: string): string;
}

/** The role's whole configuration, as it is in the ConfigMap; undefined where somebody else has it. */
export function confOf(manifests: readonly Manifest[], role: Role): string | undefined {
  for (const { kind, data } of manifests) {
    const conf = kind === "ConfigMap" ? data?.[`${role}.conf`] : undefined;
    if (conf !== undefined) return conf;
  }
  return undefined;
}

export function workloadOf(manifests: readonly Manifest[], role: Role): Manifest | undefined {
  return manifests.find((each) => isWorkload(each) && componentOf(each) === role);
}

export async function createStage(
  test: TestContext,
  manifests: readonly Manifest[],
): Promise<Stage> {
  const directory = await tempDirectory(test);
  const ports = new Map<number, number>();
  for (const port of [4141, 4242, 4545, 8500]) ports.set(port, await freePort());
  return { directory, ports, tls: makeCertificates(manifests) };
}

/** By the words they were made with; the files go when the tests end. */
const certificates = new Map<string, string>();
process.once("exit", () => {
  for (const directory of certificates.values()) rmSync(directory, { recursive: true });
});

/** Certificates as the chart's Job makes them: with the very words of its manifest, but into a directory. */
function makeCertificates(manifests: readonly Manifest[]): string {
  const job = manifests.find(({ kind }) => kind === "Job");
  const words = job?.spec?.template?.spec.containers[0]?.args ?? [
    ...["make-certs", "--name", "millrace-collector", "--name", "other-collector"],
  ];
  const places = ["--secret", "--namespace"];
  const kept = words.filter(
    (word, index) => !places.includes(word) && !places.includes(words[index - 1] ?? ""),
  );
  const key = kept.join(" ");
  const known = certificates.get(key);
  if (known !== undefined) return known;
  const directory = mkdtempSync(join(tmpdir(), "millrace-certificates-"));
  certificates.set(key, directory);
  const [program = "", ...before] = programCommand("cli/main");
  const made = spawnSync(program, [...before, ...kept, "--out", directory], { encoding: "utf8" });
  if (made.status !== 0) throw new Error(`make-certs ended with ${made.status}: ${made.stderr}`);
  return directory;
}

/** Starts the first container of a role's workload. */
export async function startPod(
  test: TestContext,
  manifests: readonly Manifest[],
  role: Role,
  stage: Stage,
  podName = `millrace-${role}-0`,
): Promise<RunningPod> {
  const workload = workloadOf(manifests, role) ?? find(manifests, "no workload", role);
  const container = workload.spec?.template?.spec.containers[0];
  const given = confOf(manifests, role);
  if (container === undefined || given === undefined) throw new Error(`no ${role} to start`);
  const directory = join(stage.directory, podName);
  const monitoringPort = await freePort();
  const place = (text: string): string => remap(text, directory, stage);
  const conf = place(given);

  for (const inside of [
    "var/lib/millrace/out",
    "run/millrace",
    "tmp",
    "var/log/pods",
    "etc/millrace/..v1",
  ]) {
    await mkdir(join(directory, inside), { recursive: true });
  }
  // As the kubelet writes a volume: the files behind a link to the directory they are in.
  const volume = join(directory, "etc/millrace");
  await writeFile(join(volume, "..v1", `${role}.conf`), conf);
  await symlink("..v1", join(volume, "..data"));
  await symlink(`..data/${role}.conf`, join(volume, `${role}.conf`));

  const args = (container.args ?? []).map((word) =>
    word.startsWith("-Dflume.monitoring.port=")
      ? `-Dflume.monitoring.port=${monitoringPort}`
      : word.startsWith("-D") && !word.includes("/")
        ? word
        : place(word),
  );
  const child = startChild(test, {
    command: [...programCommand("cli/main"), ...args],
    environment: {
      ...{ NODE_NAME: "node-1", POD_NAME: podName, POD_NAMESPACE: "logging" },
      ...{ POD_UID: `uid-of-${podName}`, POD_IP: "127.0.0.1" },
      KUBERNETES_SERVICE_HOST: undefined,
    },
  });
  const url = (path: string): string => `http://127.0.0.1:${monitoringPort}${path}`;
  return {
    ...{ child, directory, conf, url },
    async probe(name) {
      const { path } = probeOf(container, name);
      try {
        return (await fetch(url(path), { signal: AbortSignal.timeout(5000) })).status;
      } catch {
        return 0;
      }
    },
  };
}

function probeOf(container: Container, name: "startupProbe" | "livenessProbe" | "readinessProbe") {
  const probe = container[name];
  if (probe === undefined) throw new Error(`no ${name}`);
  const port = container.ports?.find((each) => each.name === probe.httpGet.port);
  if (port === undefined) throw new Error(`${name} asks a port that the container has not`);
  return probe.httpGet;
}

/** Directories of a pod below its own, its ports as free ones, and names as this machine. */
export function remap(text: string, directory: string, { ports, tls }: Stage): string {
  let mapped = text
    .replaceAll("/etc/millrace/tls", tls)
    .replace(
      /(?<![\w/.-])\/(etc\/millrace|run\/millrace|var\/lib\/millrace|var\/log(?=\/))/g,
      `${directory}/$1`,
    ) // prettier-ignore
    .replace(/(dns:\/\/)[a-z][\w.-]*/g, "$1localhost")
    .replace(/(hostname = )(\$\{env:\w+:-[\w-]+\}|[a-z][\w-]*(\.[\w-]+)+)$/gm, "$1localhost");
  for (const [from, to] of ports) {
    mapped = mapped.replaceAll(`port = ${from}`, `port = ${to}`).replaceAll(`:${from}`, `:${to}`);
  }
  return mapped;
}

/** Fails with what the agent has said when it ends or takes longer. */
export async function untilReady(pod: RunningPod, deadlineMs = 60_000): Promise<void> {
  await waitFor(
    "the readiness probe",
    async () => pod.child.exit !== undefined || (await pod.probe("readinessProbe")) === 200,
    deadlineMs,
  ).catch((error: Error) => {
    throw new Error(`${error.message}:\n${pod.child.output()}`);
  });
  if (pod.child.exit !== undefined) throw new Error(`the agent ended:\n${pod.child.output()}`);
}
