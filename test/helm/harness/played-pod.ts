/** A rendered pod that can end and come back on its volume, at an address of its own that DNS names. */
import { type Child, type DnsServer, type Exit, freePort, programCommand, startChild, waitFor } from "@millrace/testing"; // prettier-ignore
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { Container, Manifest } from "./manifest.ts";
import { confOf, remap, type Role, type Stage, workloadOf } from "./pods.ts";

export interface PlayedPodOptions {
  readonly manifests: readonly Manifest[];
  readonly role: Role;
  readonly name: string;
  /** 127.0.0.2, say. */
  readonly address: string;
  readonly stage: Stage;
  readonly dns: DnsServer;
}

export interface PlayedPod {
  readonly address: string;
  /** What is on its volumes, below the pod's own paths. */
  readonly directory: string;
  /** Resolves when the startup probe and then the readiness probe have said yes. */
  start(): Promise<void>;
  /** SIGTERM, and as the kubelet SIGKILL when terminationGracePeriodSeconds are over. */
  terminate(): Promise<Exit>;
  output(): string;
  /** Events that its channels hold, as Prometheus reads them. */
  held(): Promise<number>;
}

/** The name that the manifests look collectors up by. */
export function collectorsNameOf(manifests: readonly Manifest[]): string {
  const [, name] = /dns:\/\/([\w.-]+)/.exec(confOf(manifests, "edge") ?? "") ?? [];
  assert.ok(name !== undefined, "edges look collectors up in DNS");
  return name;
}

export async function createPlayedPod(
  t: TestContext,
  { manifests, role, name, address, stage, dns }: PlayedPodOptions,
): Promise<PlayedPod> {
  const spec = workloadOf(manifests, role)?.spec?.template?.spec;
  const container = spec?.containers[0];
  const given = confOf(manifests, role);
  assert.ok(container !== undefined && given !== undefined);
  const graceMs = (spec?.terminationGracePeriodSeconds ?? 30) * 1000;
  const directory = join(stage.directory, name);
  const monitoringPort = await freePort();
  const hosts = collectorsNameOf(manifests);
  const place = (text: string): string =>
    remap(text, directory, stage)
      .replace(
        /dns:\/\/localhost:(\d+)(\?\S*)?/g,
        `dns://${hosts}:$1?server=${dns.address}&family=4&interval=1s`,
      ) // prettier-ignore
      .replace(/(\.bind = )\S+/g, `$1${address}`);
  for (const inside of ["var/lib/millrace/out", "run/millrace", "var/log/pods", "etc/millrace"]) {
    await mkdir(join(directory, inside), { recursive: true });
  }
  await writeFile(join(directory, "etc/millrace", `${role}.conf`), place(given));
  const args = (container.args ?? []).map((word) =>
    word.startsWith("-Dflume.monitoring.port=")
      ? `-Dflume.monitoring.port=${monitoringPort}`
      : word.startsWith("-Dflume.")
        ? word
        : place(word),
  );
  const lives: Child[] = [];
  const output = (): string => lives.map((child) => child.output()).join("");

  return {
    address,
    directory,
    output,
    async held() {
      const response = await fetch(`http://127.0.0.1:${monitoringPort}/metrics`);
      const found = (await response.text()).matchAll(/^millrace_channel_events\{.*\} (\d+)$/gm);
      return [...found].reduce((sum, [, count]) => sum + Number(count), 0);
    },
    async start() {
      const child = startChild(t, {
        command: [...programCommand("cli/main"), ...args],
        environment: {
          ...{ NODE_NAME: "node-1", POD_NAME: name, POD_NAMESPACE: "logging" },
          ...{ POD_UID: `uid-of-${name}`, POD_IP: address, KUBERNETES_SERVICE_HOST: undefined },
        },
      });
      lives.push(child);
      for (const probe of ["startupProbe", "readinessProbe"] as const) {
        await waitFor(
          `the ${probe} of ${name}`,
          async () =>
            child.exit !== undefined || (await ask(container, probe, monitoringPort)) === 200,
          60_000,
        ).catch((error: Error) => assert.fail(`${error.message}:\n${child.output()}`));
        assert.equal(child.exit, undefined, child.output());
      }
      assert.equal(await ask(container, "livenessProbe", monitoringPort), 200);
    },
    async terminate() {
      const child = lives.at(-1);
      assert.ok(child !== undefined, `${name} was never started`);
      child.signal("SIGTERM");
      const killed = setTimeout(() => child.signal("SIGKILL"), graceMs);
      try {
        return await child.exited(graceMs + 10_000);
      } finally {
        clearTimeout(killed);
      }
    },
  };
}

async function ask(
  container: Container,
  name: "startupProbe" | "livenessProbe" | "readinessProbe",
  port: number,
): Promise<number> {
  const path = container[name]?.httpGet.path;
  assert.ok(path !== undefined, `no ${name}`);
  try {
    const url = `http://127.0.0.1:${port}${path}`;
    return (await fetch(url, { signal: AbortSignal.timeout(5000) })).status;
  } catch {
    return 0;
  }
}
