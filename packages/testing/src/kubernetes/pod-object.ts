/** A Pod as the API server writes it: what the agent reads, and some fields that it passes over. */
export interface PodObject {
  readonly apiVersion: "v1";
  readonly kind: "Pod";
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly [other: string]: unknown;
  };
  readonly spec: {
    readonly nodeName?: string;
    readonly containers: readonly { readonly name: string; readonly image: string }[];
    readonly [other: string]: unknown;
  };
  readonly status: Readonly<Record<string, unknown>>;
}

export interface PodFields {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  /** Undefined for a pod that no node has yet. */
  readonly node?: string | undefined;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
  /** Container name to image: one called "app" when not given. */
  readonly containers?: Readonly<Record<string, string>>;
}

export function podObject(fields: PodFields): PodObject {
  const { name, namespace = "default", uid = `uid-${name}`, node, labels, annotations } = fields;
  const containers = Object.entries(fields.containers ?? { app: "example.org/app:1" });
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace,
      uid,
      resourceVersion: "",
      creationTimestamp: "2026-11-22T10:00:00Z",
      managedFields: [{ manager: "kubelet", operation: "Update", fieldsV1: { "f:status": {} } }],
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
    },
    spec: {
      ...(node === undefined ? {} : { nodeName: node }),
      initContainers: [],
      containers: containers.map(([container, image]) => ({ name: container, image })),
    },
    status: { phase: "Running" },
  };
}
