import type { SimulatedFile } from "./simulated-file.ts";

export type SimulatedNode = SimulatedFile | SimulatedDirectory;

type Change =
  | { readonly kind: "link"; readonly name: string; readonly node: SimulatedNode }
  | { readonly kind: "unlink"; readonly name: string; readonly node: SimulatedNode }
  | {
      readonly kind: "rename";
      readonly name: string;
      readonly to: string;
      readonly node: SimulatedNode;
    };

/** Names, and the changes to them that a power cut may lose in any subset. */
export class SimulatedDirectory {
  readonly isDirectory = true;
  readonly entries = new Map<string, SimulatedNode>();
  #stored = new Map<string, SimulatedNode>();
  #pending: Change[] = [];

  get unsyncedChanges(): number {
    return this.#pending.length;
  }

  /** What has a name here, or had one when the names were last synced. */
  get nodes(): SimulatedNode[] {
    return [...this.entries.values(), ...this.#stored.values()];
  }

  link(name: string, node: SimulatedNode): void {
    this.#change({ kind: "link", name, node });
  }

  unlink(name: string, node: SimulatedNode): void {
    this.#change({ kind: "unlink", name, node });
  }

  rename(name: string, to: string, node: SimulatedNode): void {
    this.#change({ kind: "rename", name, to, node });
  }

  sync(): void {
    this.#stored = new Map(this.entries);
    this.#pending = [];
  }

  /** Keeps those changes that `keeps` says yes to, asked one after another. */
  powerCut(keeps: () => boolean): void {
    for (const change of this.#pending) if (keeps()) apply(this.#stored, change);
    this.entries.clear();
    for (const [name, node] of this.#stored) this.entries.set(name, node);
    this.#pending = [];
  }

  #change(change: Change): void {
    apply(this.entries, change);
    this.#pending.push(change);
  }
}

function apply(entries: Map<string, SimulatedNode>, change: Change): void {
  switch (change.kind) {
    case "link":
      entries.set(change.name, change.node);
      break;
    case "unlink":
      if (entries.get(change.name) === change.node) entries.delete(change.name);
      break;
    case "rename":
      if (entries.get(change.name) === change.node) entries.delete(change.name);
      entries.set(change.to, change.node);
      break;
  }
}
