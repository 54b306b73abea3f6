import type { EventBatch } from "@millrace/core";

/** Whose event it is, as its headers say. */
export interface Whose {
  /** The same for two events of one pod: its uid, or namespace/name where there is no uid. */
  readonly key: string;
  readonly uid: string | undefined;
  readonly namespace: string;
  readonly pod: string;
  readonly container: string | undefined;
}

/** Neighbouring events of one container; `whose` is undefined where the headers name no pod. */
export interface Stretch {
  readonly from: number;
  readonly to: number;
  readonly whose: Whose | undefined;
}

const uidHeader = Buffer.from("uid");
const namespaceHeader = Buffer.from("namespace");
const podHeader = Buffer.from("pod");
const containerHeader = Buffer.from("container");

/** The batch in stretches, in order, without decoding an event. Mostly it is one. */
export function findStretches(batch: EventBatch): Stretch[] {
  const stretches: Stretch[] = [];
  let whose: Whose | undefined;
  let from = 0;
  for (let i = 0; i < batch.length; i++) {
    const uid = batch.headerAt(i, uidHeader);
    const container = batch.headerAt(i, containerHeader);
    const named = uid === undefined || uid === "" ? readName(batch, i) : undefined;
    const key = named === undefined ? uid : named.key;
    if (i > 0 && key === whose?.key && (key === undefined || container === whose?.container)) {
      continue;
    }
    if (i > 0) stretches.push({ from, to: i, whose });
    from = i;
    whose =
      key === undefined
        ? undefined
        : named === undefined
          ? { key, uid, namespace: "", pod: "", container }
          : { ...named, key, uid: undefined, container };
  }
  if (batch.length > 0) stretches.push({ from, to: batch.length, whose });
  return stretches;
}

interface Name {
  readonly key: string | undefined;
  readonly namespace: string;
  readonly pod: string;
}

const noName: Name = { key: undefined, namespace: "", pod: "" };

function readName(batch: EventBatch, index: number): Name {
  const namespace = batch.headerAt(index, namespaceHeader) ?? "";
  const pod = batch.headerAt(index, podHeader) ?? "";
  return namespace === "" || pod === "" ? noName : { key: `${namespace}/${pod}`, namespace, pod };
}
