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
  const annotations = textsOf(metadata, "annotations");
  const labels = textsOf(metadata, "labels");
  const node = textOf(spec, "nodeName");
  const logUid = annotations.has(mirrorMark) ? (annotations.get(staticUid) ?? uid) : uid;
  return { pod: { namespace, name, uid, node, labels, annotations, containers }, logUid };
}

export function resourceVersionOf(object: unknown): string {
  return textOf(fieldOf(object, "metadata"), "resourceVersion");
}
