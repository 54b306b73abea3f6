import type { PodInfo } from "./pod-info.ts";

/** What a pod's owner may say about its logs, where the agents are another's. */
export const podAnnotations = {
  /** "true", or the names of the containers whose logs are not wanted. */
  exclude: "millrace.io/exclude",
  /** A regular expression: the first line of each event of several lines. */
  multiline: "millrace.io/multiline",
  /** Becomes the header `channel`, for a multiplexing selector. */
  channel: "millrace.io/channel",
} as const;

/** The channel that the pod asks for; undefined where it does not. */
export function channelOf({ annotations }: PodInfo): string | undefined {
  const channel = annotations.get(podAnnotations.channel)?.trim();
  return channel === "" ? undefined : channel;
}

/** Whether the pod says that this container's logs are not to be sent. */
export function isExcluded({ annotations }: PodInfo, container: string | undefined): boolean {
  const said = annotations.get(podAnnotations.exclude)?.trim() ?? "";
  if (said.toLowerCase() === "true") return true;
  return container !== undefined && splitNames(said).includes(container);
}

/** Names as an operator writes a list of them: no name in Kubernetes has a comma or a space. */
export function splitNames(text: string): string[] {
  return text.split(/[\s,]+/).filter((name) => name !== "");
}
