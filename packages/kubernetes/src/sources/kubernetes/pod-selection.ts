import type { Log } from "@millrace/core";
import { compileForeignPattern } from "../../multiline/first-line-pattern.ts";
import { channelOf, isExcluded, podAnnotations } from "../../pods/pod-annotations.ts";
import type { PodDirectory } from "../../pods/pod-directory.ts";
import type { PodInfo } from "../../pods/pod-info.ts";
import type { ContainerId } from "./log-file.ts";
import { compileNamePatterns, type KubernetesOptions, type NamePatterns } from "./options.ts";

/** What is to be done with a container's logs. */
export type Choice =
  | { readonly read: "no" }
  /** What the API server says of the pod is waited for, a bounded time; its files are kept open. */
  | { readonly read: "later" }
  | {
      readonly read: "yes";
      readonly firstLine: RegExp | undefined;
      readonly channel: string | undefined;
    };

/** Who this agent is, from its pod's environment. */
export interface OwnPod {
  readonly namespace: string | undefined;
  readonly name: string | undefined;
  readonly uid: string | undefined;
}

type Directory = Pick<PodDirectory, "peek" | "peekName" | "lookUp">;

const instanceLabel = "app.kubernetes.io/instance";
const nameLabel = "app.kubernetes.io/name";

/** Says which containers are read, and how, by the options and by what pods say of themselves. */
export class PodSelection {
  readonly #options: Pick<KubernetesOptions, "excludeSelf" | "release">;
  readonly #patterns: NamePatterns;
  readonly #own: OwnPod;
  readonly #directory: Directory | undefined;
  readonly #log: Log;
  /** By uid: whether the API server's answer is still waited for. */
  readonly #asked = new Map<string, "waiting" | "answered">();
  readonly #annotated = new Map<string, RegExp | undefined>();

  constructor(options: KubernetesOptions, own: OwnPod, directory: Directory | undefined, log: Log) {
    this.#options = options;
    this.#patterns = compileNamePatterns(options);
    this.#own = own;
    this.#directory = directory;
    this.#log = log;
  }

  /** Whether there is a way to tell the agent's own release from others. */
  get knowsSelf(): boolean {
    const { namespace, name, uid } = this.#own;
    return (
      uid !== undefined ||
      (namespace !== undefined && (name ?? this.#options.release) !== undefined)
    );
  }

  choose(id: ContainerId, stopped: AbortSignal): Choice {
    if (!this.#isWanted(id)) return excluded;
    const info = this.#directory?.peek(id.uid);
    if (this.#options.excludeSelf && this.#isOwn(id, info)) return excluded;
    if (info === undefined && this.#isAsked(id, stopped)) return later;
    if (info !== undefined && isExcluded(info, id.container)) return excluded;
    const channel = info && channelOf(info);
    return { read: "yes", firstLine: this.#firstLine(id, info?.annotations), channel };
  }

  /** Forgets pods that are not there any more. */
  keepOnly(uids: ReadonlySet<string>): void {
    for (const uid of [...this.#asked.keys()]) if (!uids.has(uid)) this.#asked.delete(uid);
  }

  #isWanted({ namespace, pod }: ContainerId): boolean {
    const { includeNamespaces, excludeNamespaces, excludePods } = this.#patterns;
    const fits = (patterns: readonly RegExp[], name: string): boolean =>
      patterns.some((pattern) => pattern.test(name));
    if (includeNamespaces.length > 0 && !fits(includeNamespaces, namespace)) return false;
    if (fits(excludeNamespaces, namespace)) return false;
    return !fits(excludePods, pod) && !fits(excludePods, `${namespace}/${pod}`);
  }

  /** Labels decide where they are known; the release's name where not. */
  #isOwn({ namespace, pod, uid }: ContainerId, info: PodInfo | undefined): boolean {
    const own = this.#own;
    if (uid === own.uid) return true;
    if (own.namespace === undefined || namespace !== own.namespace) return false;
    if (pod === own.name) return true;
    const { release } = this.#options;
    const ownInfo =
      own.name === undefined ? undefined : this.#directory?.peekName(namespace, own.name);
    const instance = ownInfo?.labels.get(instanceLabel) ?? release;
    if (info !== undefined && instance !== undefined) {
      const isSameName =
        ownInfo === undefined || info.labels.get(nameLabel) === ownInfo.labels.get(nameLabel);
      return info.labels.get(instanceLabel) === instance && isSameName;
    }
    return release !== undefined && pod.startsWith(`${release}-`);
  }

  /** Asks the API server of a pod it has not told of, once. */
  #isAsked({ uid }: ContainerId, stopped: AbortSignal): boolean {
    if (this.#directory === undefined) return false;
    const known = this.#asked.get(uid);
    if (known !== undefined) return known === "waiting";
    this.#asked.set(uid, "waiting");
    void this.#directory.lookUp(uid, stopped).then(() => this.#asked.set(uid, "answered"));
    return true;
  }

  #firstLine(
    { container, namespace, pod }: ContainerId,
    annotations: ReadonlyMap<string, string> | undefined,
  ): RegExp | undefined {
    const annotated = annotations?.get(podAnnotations.multiline);
    const own = annotated === undefined ? undefined : this.#compile(annotated, namespace, pod);
    if (own !== undefined) return own;
    const place = `${namespace}/${pod}/${container}`;
    return this.#patterns.multiline.find(({ containers }) => containers.test(place))?.firstLine;
  }

  #compile(pattern: string, namespace: string, pod: string): RegExp | undefined {
    if (this.#annotated.has(pattern)) return this.#annotated.get(pattern);
    if (this.#annotated.size >= annotatedMax) this.#annotated.clear();
    let compiled: RegExp | undefined;
    try {
      compiled = compileForeignPattern(pattern);
    } catch (error) {
      const why = (error as Error).message;
      this.#log.warn(`annotation ${podAnnotations.multiline} is not followed: ${why}`, {
        pod: `${namespace}/${pod}`,
        pattern: pattern.slice(0, patternShownMax),
      });
    }
    this.#annotated.set(pattern, compiled);
    return compiled;
  }
}

const excluded: Choice = { read: "no" };
const later: Choice = { read: "later" };
const annotatedMax = 1000;
/** An annotation may have 256 KiB; a pattern that is followed has 200 characters at most. */
const patternShownMax = 250;
