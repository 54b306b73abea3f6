import { waitFor } from "@millrace/testing";
import type { TestContext } from "node:test";
import type { ApiObject } from "./api-client.ts";
import type { ControlPlane } from "./control-plane.ts";

export interface PlayedNodeOptions {
  readonly name: string;
  /** Does what the pod of a Job is for; resolves with the exit code of its container. */
  runJob(pod: ApiObject): Promise<number>;
}

/**
 * A node that says of every pod it is given that it runs and is ready, in a cloud that gives claims their volumes and
 * Services their addresses.
 */
export interface PlayedNode {
  /** The pods that are on it now and not about to end. */
  pods(): Promise<readonly ApiObject[]>;
}

/** What kubelet and the controllers of a cloud tell the API server, and no containers. */
export async function createPlayedNode(
  t: TestContext,
  { api }: ControlPlane,
  { name, runJob }: PlayedNodeOptions,
): Promise<PlayedNode> {
  const size = { cpu: "64", memory: "256Gi", pods: "500", "ephemeral-storage": "500Gi" };
  const labels = { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "topology.kubernetes.io/zone": "a", rack: "a" }; // prettier-ignore
  const node = { apiVersion: "v1", kind: "Node", metadata: { name, labels } };
  await api.create("/api/v1/nodes", node);
  const ready = { type: "Ready", status: "True", reason: "Played", message: "" };
  await api.patch(`/api/v1/nodes/${name}/status`, {
    status: { capacity: size, allocatable: size, conditions: [ready] },
  });
  // Until the controllers have seen that it is ready nothing is put on it.
  await api.patch(`/api/v1/nodes/${name}`, { spec: { taints: null } });

  const mine = `/api/v1/pods?fieldSelector=spec.nodeName%3D${name}`;
  const jobs = new Set<string>();
  const volumes = new Set<string>();

  async function provide(claim: ApiObject): Promise<void> {
    const { uid, name: claimName, namespace } = claim.metadata;
    if (claim.status?.phase === "Bound" || volumes.has(uid)) return;
    volumes.add(uid);
    await api.create("/api/v1/persistentvolumes", {
      apiVersion: "v1",
      kind: "PersistentVolume",
      metadata: { name: `pv-${uid}` },
      spec: {
        capacity: claim.spec?.resources?.requests,
        accessModes: claim.spec?.accessModes,
        storageClassName: claim.spec?.storageClassName ?? "",
        claimRef: { kind: "PersistentVolumeClaim", name: claimName, namespace, uid },
        hostPath: { path: `/tmp/pv-${uid}` },
        persistentVolumeReclaimPolicy: "Retain",
      },
    });
  }

  async function publish({ metadata, spec, status }: ApiObject): Promise<void> {
    if (spec?.type !== "LoadBalancer" || status?.loadBalancer?.ingress !== undefined) return;
    const path = `/api/v1/namespaces/${metadata.namespace}/services/${metadata.name}/status`;
    await api.patch(path, { status: { loadBalancer: { ingress: [{ ip: "192.0.2.1" }] } } });
  }

  async function play(pod: ApiObject): Promise<void> {
    const { uid, namespace, deletionTimestamp, ownerReferences } = pod.metadata;
    const path = `/api/v1/namespaces/${namespace}/pods/${pod.metadata.name}`;
    if (deletionTimestamp !== undefined) {
      await api.send("DELETE", path, { gracePeriodSeconds: 0 });
      return;
    }
    if (pod.status?.phase !== "Pending") return;
    const isJob = ownerReferences?.some(({ kind }) => kind === "Job") === true;
    if (isJob && jobs.has(uid)) return;
    jobs.add(uid);
    const exitCode = isJob ? await runJob(pod) : undefined;
    const at = new Date().toISOString();
    const state =
      exitCode === undefined
        ? { running: { startedAt: at } }
        : { terminated: { exitCode, startedAt: at, finishedAt: at, reason: "Ended" } };
    const isReady = exitCode === undefined;
    const conditions = ["Initialized", "PodScheduled", "ContainersReady", "Ready"];
    // It may have been deleted meanwhile.
    await api.send(
      "PATCH",
      `${path}/status`,
      {
        status: {
          phase: exitCode === undefined ? "Running" : exitCode === 0 ? "Succeeded" : "Failed",
          ...{ podIP: "10.1.0.1", podIPs: [{ ip: "10.1.0.1" }], startTime: at },
          conditions: conditions.map((type) => ({
            type,
            status: isReady || type === "PodScheduled" ? "True" : "False",
            lastTransitionTime: at,
          })),
          containerStatuses: (pod.spec?.containers ?? []).map((container) => ({
            ...{ name: container.name, image: container.image, imageID: "", state },
            ...{ ready: isReady, started: isReady, restartCount: 0 },
          })),
        },
      },
      "application/merge-patch+json",
    );
  }

  let ended = false;
  let lastError: Error | undefined;
  const playing = (async () => {
    while (!ended) {
      try {
        for (const claim of await api.list("/api/v1/persistentvolumeclaims")) await provide(claim);
        for (const service of await api.list("/api/v1/services")) await publish(service);
        await Promise.all((await api.list(mine)).map(play));
      } catch (error) {
        // The API server is away, as a test had it; whatever else it is shows in what does not happen.
        lastError = error as Error;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  })();
  t.after(async () => {
    ended = true;
    await playing;
  });
  await waitFor(
    "the node to be open for pods",
    async () => {
      const { spec } = await api.get(`/api/v1/nodes/${name}`);
      const { taints } = (spec ?? {}) as { readonly taints?: readonly unknown[] };
      return (taints ?? []).length === 0;
    },
    60_000,
  ).catch((error: Error) => {
    throw new Error(`${error.message}; ${lastError?.message ?? "no error"}`);
  });
  return {
    pods: async () =>
      (await api.list(mine)).filter(({ metadata }) => metadata.deletionTimestamp === undefined),
  };
}
