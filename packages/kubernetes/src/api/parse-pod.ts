import type { PodInfo } from "../pods/pod-info.ts";
import { arrayOf, fieldOf, textOf, textsOf } from "./json-fields.ts";

/** A pod with the name that its log directory has for it. */
export interface ListedPod {
  readonly pod: PodInfo;
  /**
   * The uid in the name of the pod's log directory. For a static pod, which kubelet runs from a file,
   * that is a digest of the file, and the API server's mirror of it has a uid of its own.
   */
  readonly logUid: string;
}

const containerLists = ["containers", "initContainers", "ephemeralContainers"];
/** Where kubelet writes a static pod's own uid on its mirror. */
const staticUid = "kubernetes.io/config.hash";
const mirrorMark = "kubernetes.io/config.mirror";
/** An annotation may have 256 KiB, and each event of the pod would carry it. */
const annotationLengthMax = 4096;
/** All annotations, or all labels. Of a thousand pods that are kept, it is 128 MiB at worst. */
const textsLengthMax = 64 * 1024;
const ourPrefix = "millrace.io/";

/** What the agent keeps of a Pod object; undefined where it is none. */
export function parsePod(object: unknown): ListedPod | undefined {
  const metadata = fieldOf(object, "metadata");
  const spec = fieldOf(object, "spec");
  const [uid, name, namespace] = ["uid", "name", "namespace"].map((key) => textOf(metadata, key));
  if (!uid || !name || !namespace) return undefined;
  const containers = new Map<string, { readonly image: string }>();
  for (const list of containerLists) {
    for (const container of arrayOf(spec, list)) {
      const called = textOf(container, "name");
      if (called !== "") containers.set(called, { image: textOf(container, "image") });
    }
  }
  const annotations = bounded(textsOf(metadata, "annotations"));
  const labels = bounded(textsOf(metadata, "labels"));
  const node = textOf(spec, "nodeName");
  const logUid = staticUidOf(textsOf(metadata, "annotations")) ?? uid;
  return { pod: { namespace, name, uid, node, labels, annotations, containers }, logUid };
}

/**
 * A digest has no hyphens. Whoever may create pods may write any annotation: what looks like a uid
 * of the API server is a claim to be another pod, and to say what becomes of its logs.
 */
function staticUidOf(annotations: ReadonlyMap<string, string>): string | undefined {
  const digest = annotations.get(staticUid);
  return annotations.has(mirrorMark) && /^[0-9a-z]+$/i.test(digest ?? "") ? digest : undefined;
}

/** As much of them as is kept, what is said to us first. */
function bounded(texts: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const ours = (name: string): number => (name.startsWith(ourPrefix) ? 0 : 1);
  const kept = new Map<string, string>();
  let length = 0;
  for (const [name, text] of [...texts].sort(([a], [b]) => ours(a) - ours(b))) {
    const part = text.length <= annotationLengthMax ? text : beginningOf(text);
    length += name.length + part.length;
    if (length > textsLengthMax) break;
    kept.set(name, part);
  }
  return kept;
}

/** A copy: a mere slice would keep all of the text in memory. */
function beginningOf(text: string): string {
  return Buffer.from(text.slice(0, annotationLengthMax), "utf16le").toString("utf16le");
}

export function resourceVersionOf(object: unknown): string {
  return textOf(fieldOf(object, "metadata"), "resourceVersion");
}
