import type { HeaderEdit } from "@millrace/core";
import { channelOf, splitNames } from "../../pods/pod-annotations.ts";
import type { PodInfo } from "../../pods/pod-info.ts";

/** The whole manifest, once more: no one wants it with every line, whoever asks for all. */
const neverWithAll = "kubectl.kubernetes.io/last-applied-configuration";

/** Said of an event whose pod was not known in time. */
export const pendingEdits: readonly HeaderEdit[] = [set("metadata", "pending")];

/** The headers of a pod's events, made once for each pod as it is, and each of its containers. */
export class PodHeaders {
  readonly #labels: readonly string[];
  readonly #annotations: readonly string[];
  readonly #made = new WeakMap<PodInfo, Map<string | undefined, readonly HeaderEdit[]>>();

  constructor(labels: readonly string[], annotations: readonly string[]) {
    this.#labels = labels.flatMap(splitNames);
    this.#annotations = annotations.flatMap(splitNames);
  }

  of(pod: PodInfo, container: string | undefined): readonly HeaderEdit[] {
    let made = this.#made.get(pod);
    if (made === undefined) this.#made.set(pod, (made = new Map()));
    let edits = made.get(container);
    if (edits === undefined) made.set(container, (edits = this.#make(pod, container)));
    return edits;
  }

  #make(pod: PodInfo, container: string | undefined): readonly HeaderEdit[] {
    const image = container === undefined ? undefined : pod.containers.get(container)?.image;
    const channel = channelOf(pod);
    return [
      ...(pod.node === "" ? [] : [set("node", pod.node)]),
      ...(image === undefined || image === "" ? [] : [set("image", image)]),
      ...choose("label.", pod.labels, this.#labels),
      ...choose("annotation.", pod.annotations, this.#annotations),
      ...(channel === undefined ? [] : [set("channel", channel)]),
    ];
  }
}

function choose(
  prefix: string,
  values: ReadonlyMap<string, string>,
  names: readonly string[],
): HeaderEdit[] {
  const all = names.includes("*");
  return [...values]
    .filter(([name]) => names.includes(name) || (all && name !== neverWithAll))
    .map(([name, value]) => set(prefix + name, value));
}

function set(name: string, value: string): HeaderEdit {
  return { name, value, preserveExisting: false };
}
