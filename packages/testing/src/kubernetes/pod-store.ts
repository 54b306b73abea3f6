import type { PodObject } from "./pod-object.ts";

/** One change, as etcd keeps it: what was, what is, and the version it made. */
export interface StoredChange {
  readonly version: number;
  readonly before: PodObject | undefined;
  readonly after: PodObject | undefined;
}

export type WatchEvent = {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: PodObject;
};

/** Pods with their history, in which every change is a version of the whole. */
export class PodStore {
  readonly #pods = new Map<string, PodObject>();
  #changes: StoredChange[] = [];
  #version = 1000;
  /** Changes up to this one are forgotten. */
  #compacted = 1000;

  get version(): number {
    return this.#version;
  }

  get compacted(): number {
    return this.#compacted;
  }

  /** In the order of namespace and name, as etcd lists keys. */
  pods(node: string | undefined): PodObject[] {
    const keys = [...this.#pods.keys()].sort();
    return keys.map((key) => this.#pods.get(key) as PodObject).filter((pod) => isOn(pod, node));
  }

  put(pod: PodObject): void {
    const key = `${pod.metadata.namespace}/${pod.metadata.name}`;
    const before = this.#pods.get(key);
    const version = ++this.#version;
    const after = withVersion(pod, version);
    this.#pods.set(key, after);
    this.#changes.push({ version, before, after });
  }

  remove(namespace: string, name: string): void {
    const key = `${namespace}/${name}`;
    const before = this.#pods.get(key);
    if (before === undefined) return;
    this.#pods.delete(key);
    this.#changes.push({ version: ++this.#version, before, after: undefined });
  }

  /** A change of something else: versions count all of them. */
  passVersion(): void {
    this.#version++;
  }

  compact(): void {
    this.#changes = [];
    this.#compacted = this.#version;
  }

  /** Takes back the version, not the pods. */
  restore(version: number): void {
    this.#changes = [];
    this.#version = version;
    this.#compacted = Math.min(this.#compacted, version);
  }

  /** What a watch of that node's pods is told of the changes after a version. */
  eventsAfter(version: number, node: string | undefined): WatchEvent[] {
    return this.#changes
      .filter((change) => change.version > version)
      .flatMap((change) => toEvent(change, node));
  }
}

function toEvent({ version, before, after }: StoredChange, node: string | undefined): WatchEvent[] {
  const was = before !== undefined && isOn(before, node);
  const is = after !== undefined && isOn(after, node);
  if (is) return [{ type: was ? "MODIFIED" : "ADDED", object: after }];
  // What is told of a pod that is gone is what it was, with the version of its going.
  return was ? [{ type: "DELETED", object: withVersion(before, version) }] : [];
}

function isOn(pod: PodObject, node: string | undefined): boolean {
  return node === undefined || pod.spec.nodeName === node;
}

function withVersion(pod: PodObject, version: number): PodObject {
  return { ...pod, metadata: { ...pod.metadata, resourceVersion: String(version) } };
}
