/** What the tests look at in manifests of Kubernetes; there is more in them. */
export interface Metadata {
  readonly name: string;
  readonly namespace?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: Metadata;
  readonly spec?: Spec;
  readonly data?: Readonly<Record<string, string>>;
  readonly rules?: readonly {
    readonly resources: readonly string[];
    readonly verbs: readonly string[];
    readonly resourceNames?: readonly string[];
  }[];
}

/** Of workloads, Services, autoscalers: whatever of it a kind has. */
export interface Spec {
  readonly replicas?: number;
  readonly serviceName?: string;
  readonly selector?: Selector & Readonly<Record<string, unknown>>;
  readonly template?: { readonly metadata: Metadata; readonly spec: PodSpec };
  readonly volumeClaimTemplates?: readonly Manifest[];
  readonly publishNotReadyAddresses?: boolean;
  readonly clusterIP?: string;
  readonly scaleTargetRef?: { readonly kind: string; readonly name: string };
  readonly updateStrategy?: { readonly rollingUpdate?: { readonly maxSurge?: number } };
  readonly ports?: readonly { readonly name?: string; readonly port: number; readonly targetPort?: string }[]; // prettier-ignore
}

interface Selector {
  readonly matchLabels?: Readonly<Record<string, string>>;
}

export interface PodSpec {
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly securityContext?: SecurityContext;
  readonly terminationGracePeriodSeconds?: number;
  readonly automountServiceAccountToken?: boolean;
  readonly hostNetwork?: boolean;
  readonly hostPID?: boolean;
  readonly hostIPC?: boolean;
  readonly volumes?: readonly Volume[];
}

export interface Volume {
  readonly name: string;
  readonly hostPath?: { readonly path: string };
  readonly persistentVolumeClaim?: { readonly claimName: string };
  readonly emptyDir?: { readonly sizeLimit?: string };
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly args?: readonly string[];
  readonly command?: readonly string[];
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[];
  readonly resources?: Readonly<Record<"requests" | "limits", Readonly<Record<string, string>>>>;
  readonly securityContext?: SecurityContext;
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string; readonly readOnly?: boolean }[]; // prettier-ignore
  readonly startupProbe?: Probe;
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
}

export interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string };
  readonly periodSeconds: number;
  readonly failureThreshold: number;
}

export interface SecurityContext {
  readonly runAsUser?: number;
  readonly runAsNonRoot?: boolean;
  readonly privileged?: boolean;
  readonly allowPrivilegeEscalation?: boolean;
  readonly readOnlyRootFilesystem?: boolean;
  readonly capabilities?: { readonly drop?: readonly string[]; readonly add?: readonly string[] };
  readonly seccompProfile?: { readonly type: string };
}

const workloads = new Set(["DaemonSet", "StatefulSet", "Deployment"]);

export const isWorkload = ({ kind }: Manifest): boolean => workloads.has(kind);

/** The one object of this kind and, where it is said, of this role. */
export function find(manifests: readonly Manifest[], kind: string, component?: string): Manifest {
  const found = manifests.filter(
    (manifest) =>
      manifest.kind === kind && (component === undefined || componentOf(manifest) === component),
  );
  const [only] = found;
  if (only !== undefined && found.length === 1) return only;
  throw new Error(`${found.length} objects of kind ${kind} and component ${component}`);
}

export const componentOf = ({ metadata }: Manifest): string | undefined =>
  metadata.labels?.["app.kubernetes.io/component"];

/** The pod of a workload, of a Job, or a Pod itself. */
export function podOf(manifest: Manifest): PodSpec | undefined {
  if (manifest.kind === "Pod") return manifest.spec as unknown as PodSpec;
  return manifest.spec?.template?.spec;
}
