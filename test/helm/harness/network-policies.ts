/** NetworkPolicies of one namespace, judged as a network that enforces them does. */
import type { Manifest } from "./manifest.ts";

type Labels = Readonly<Record<string, string>>;

interface Peer {
  readonly podSelector?: { readonly matchLabels?: Labels };
  readonly namespaceSelector?: unknown;
  readonly ipBlock?: unknown;
}

interface Rule {
  readonly from?: readonly Peer[];
  readonly to?: readonly Peer[];
  readonly ports?: readonly { readonly port?: number | string }[];
}

interface PolicySpec {
  readonly podSelector: { readonly matchLabels?: Labels };
  readonly policyTypes: readonly string[];
  readonly ingress?: readonly Rule[];
  readonly egress?: readonly Rule[];
}

/** A pod of the namespace by its labels, or what is outside of it. */
export type End = Labels | "elsewhere";

export interface Port {
  readonly name: string;
  readonly number: number;
}

const selects = (selector: { readonly matchLabels?: Labels }, pod: Labels): boolean =>
  Object.entries(selector.matchLabels ?? {}).every(([key, value]) => pod[key] === value);

const isPeer = (peers: readonly Peer[] | undefined, end: End): boolean =>
  peers === undefined ||
  peers.some(
    ({ podSelector, namespaceSelector }) =>
      end !== "elsewhere" &&
      namespaceSelector === undefined &&
      podSelector !== undefined &&
      selects(podSelector, end),
  );

/** Whether one may open a connection to a port of the other. */
export function mayConnect(
  manifests: readonly Manifest[],
  from: End,
  to: End,
  { name, number }: Port,
): boolean {
  const specs = manifests
    .filter(({ kind }) => kind === "NetworkPolicy")
    .map(({ spec }) => spec as unknown as PolicySpec);
  const isAllowed = (pod: End, type: "Egress" | "Ingress", other: End): boolean => {
    if (pod === "elsewhere") return true;
    const applied = specs.filter(
      ({ podSelector, policyTypes }) => policyTypes.includes(type) && selects(podSelector, pod),
    );
    if (applied.length === 0) return true;
    const rules = applied.flatMap(({ egress, ingress }) => (type === "Egress" ? egress : ingress));
    return rules.some(
      (rule) =>
        isPeer(type === "Egress" ? rule?.to : rule?.from, other) &&
        (rule?.ports?.some(({ port }) => port === name || port === number) ?? true),
    );
  };
  return isAllowed(from, "Egress", to) && isAllowed(to, "Ingress", from);
}
