import { programCommand, startChild, tempDirectory } from "@millrace/testing";
import { copyFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { TestContext } from "node:test";
import type { ApiObject } from "./api-client.ts";
import { type ControlPlane, startControlPlane } from "./control-plane.ts";
import { createPlayedNode, type PlayedNode } from "./played-node.ts";
import { findBinaries } from "./programs.ts";

export interface Cluster extends ControlPlane {
  readonly node: PlayedNode;
  /** What the Jobs' containers printed. */
  jobOutput(): string;
}

/**
 * Kubernetes with one node, which is played but for one thing: the container of a Job is this Millrace, run with
 * the words of its pod and a token of its service account. Undefined when the test is marked as skipped.
 */
export async function createCluster(t: TestContext): Promise<Cluster | undefined> {
  const binaries = findBinaries(t);
  if (binaries === undefined) return undefined;
  const plane = await startControlPlane(t, binaries);
  let output = "";
  const runJob = async ({ metadata, spec }: ApiObject): Promise<number> => {
    const account = await tempDirectory(t);
    await copyFile(plane.caFile, join(account, "ca.crt"));
    const token = await plane.tokenOf(metadata.namespace, spec?.serviceAccountName ?? "default");
    await writeFile(join(account, "token"), token);
    const words = spec?.containers?.[0]?.args ?? [];
    const child = startChild(t, {
      command: [...programCommand("cli/main"), ...words, "--account", account],
      environment: {
        KUBERNETES_SERVICE_HOST: "127.0.0.1",
        KUBERNETES_SERVICE_PORT: String(plane.port),
      },
    });
    const { code } = await child.exited(60_000);
    output += child.output();
    return code ?? 1;
  };
  const node = await createPlayedNode(t, plane, { name: "node-1", runJob });
  return { ...plane, node, jobOutput: () => output };
}
