import {
  boolean,
  compileJavaPattern,
  integer,
  list,
  type OptionsOf,
  prefixed,
  text,
} from "@millrace/core";
import { dirname, isAbsolute, join, relative } from "node:path";
import { podOptions } from "../../pods/pod-settings.ts";

export const options = {
  path: text("path", "Directory of all pods' logs, as kubelet lays it out", {
    default: "/var/log/pods",
  }),
  positionFile: text("positionFile", "Where positions are kept, of all containers", {
    default: "~/.millrace/kubernetes-positions.json",
  }),
  skipToEnd: boolean(
    "skipToEnd",
    "Whether logs that are there at start, and not in the position file, are read from their end",
    { default: false },
  ),
  excludeSelf: boolean(
    "excludeSelf",
    "Whether the pods of this agent's own release are never read: a collector that logs would feed itself",
    { default: true },
  ),
  release: text(
    "release",
    "Name of this agent's Helm release. Pods of this agent's namespace (POD_NAMESPACE) whose names begin with it and a hyphen are its own, unless their labels say otherwise",
  ),
  includeNamespaces: list(
    "includeNamespaces",
    "Namespaces to read, as regular expressions for whole names; all when left out",
  ),
  excludeNamespaces: list(
    "excludeNamespaces",
    "Namespaces not to read, as regular expressions for whole names",
  ),
  excludePods: list(
    "excludePods",
    "Pods not to read, as regular expressions for whole names, or for `namespace/name` when they contain a slash",
  ),
  podAnnotations: boolean(
    "podAnnotations",
    "Whether the annotations `millrace.io/exclude`, `/multiline` and `/channel` of pods are followed; needs the API server",
    { default: true },
  ),
  multiline: prefixed(
    "multiline",
    "`<name>.containers`: a regular expression for the whole of `namespace/pod/container`; `<name>.firstLine`: what the first line of an event looks like there. The first that fits counts",
  ),
  multilineTimeoutMs: integer(
    "multilineTimeout",
    "An event of several lines is sent when no line came for so long",
    { default: 3000, min: 1, unit: "ms" },
  ),
  maxLineBytes: integer(
    "maxLineBytes",
    "A longer event is cut into several, numbered in header `part`, all but the last with `more` = true",
    { default: 1024 * 1024, min: 1, max: 64 * 1024 * 1024, unit: "bytes" },
  ),
  hold: boolean(
    "hold",
    "Whether logs are linked (hard links) until they are acknowledged: what kubelet deletes meanwhile is still read, also by the next run",
    { default: false },
  ),
  holdDirectory: text(
    "holdDirectory",
    "Where those links are: writable, on the logs' own file system and mount, beside `path` and not in it, of this source alone",
    { default: "/var/log/millrace-hold" },
  ),
  holdBytes: integer(
    "holdBytes",
    "Logs that kubelet has deleted and that are kept, linked or open, until they are read: as many bytes. Beyond, the oldest are given up, and counted as lost",
    { default: 1024 * 1024 * 1024, min: 0, unit: "bytes" },
  ),
  idleTimeoutMs: integer(
    "idleTimeout",
    "A log that has not grown for so long is closed; a line without end is sent then",
    { default: 120_000, min: 1, unit: "ms" },
  ),
  writePosIntervalMs: integer("writePosInterval", "Time between writes of the position file", {
    default: 3000,
    min: 1,
    unit: "ms",
  }),
  batchSize: integer("batchSize", "Events handed to the channels at once", {
    default: 1000,
    min: 1,
    unit: "events",
  }),
  maxBatchCount: integer(
    "maxBatchCount",
    "Batches of one container before the next has its turn; 0 or less: as many as 16 MiB hold",
    { default: 20, min: -1, max: 2 ** 31 - 1 },
  ),
  backoffSleepIncrementMs: integer(
    "backoffSleepIncrement",
    "Wait after a round that found nothing, times the number of such rounds in a row",
    { default: 1000, min: 1, unit: "ms" },
  ),
  maxBackoffSleepMs: integer("maxBackoffSleep", "Longest wait between two rounds", {
    default: 5000,
    min: 1,
    unit: "ms",
  }),
  ...podOptions,
};

export { checkPodOptions } from "../../pods/pod-settings.ts";

export type KubernetesOptions = OptionsOf<typeof options>;

/** Containers whose lines are joined, and what begins an event there. */
export interface MultilineRule {
  readonly containers: RegExp;
  readonly firstLine: RegExp;
}

/** Whom to read, as the options say it. */
export interface NamePatterns {
  readonly includeNamespaces: readonly RegExp[];
  readonly excludeNamespaces: readonly RegExp[];
  readonly excludePods: readonly RegExp[];
  readonly multiline: readonly MultilineRule[];
  readonly problems: readonly { readonly key: string; readonly message: string }[];
}

/** kubelet removes from its directory, every minute, what belongs to no pod that it knows. */
export function holdProblems({
  hold,
  holdDirectory,
  path,
}: Pick<KubernetesOptions, "hold" | "holdDirectory" | "path">): NamePatterns["problems"] {
  const way = relative(path, holdDirectory);
  if (!hold || way.startsWith("..") || isAbsolute(way)) return [];
  const message = `${holdDirectory} is in ${path}, where kubelet removes what is no pod's; choose one beside it, such as ${join(dirname(path), "millrace-hold")}`;
  return [{ key: "holdDirectory", message }];
}

type PatternOptions = Pick<
  KubernetesOptions,
  "includeNamespaces" | "excludeNamespaces" | "excludePods" | "multiline"
>;

export function compileNamePatterns(given: PatternOptions): NamePatterns {
  const problems: { key: string; message: string }[] = [];
  const compile = (key: string, pattern: string, make = compileJavaPattern): RegExp[] => {
    try {
      return [make(pattern)];
    } catch (error) {
      problems.push({ key, message: `"${pattern}": ${(error as Error).message}` });
      return [];
    }
  };
  const names = [...new Set([...given.multiline.keys()].map((key) => key.split(".", 1).join("")))];
  const multiline = names.flatMap((name) => {
    const [containers] = ruleText(given.multiline, name, "containers", problems).flatMap((text) =>
      compile(`multiline.${name}.containers`, text),
    );
    const [firstLine] = ruleText(given.multiline, name, "firstLine", problems).flatMap((text) =>
      compile(`multiline.${name}.firstLine`, text, (pattern) => new RegExp(pattern, "u")),
    );
    return containers === undefined || firstLine === undefined ? [] : [{ containers, firstLine }];
  });
  for (const key of given.multiline.keys()) {
    if (/^[^.]+\.(containers|firstLine)$/.test(key)) continue;
    problems.push({
      key: `multiline.${key}`,
      message: "is not <name>.containers or <name>.firstLine",
    });
  }
  const all = (key: "includeNamespaces" | "excludeNamespaces" | "excludePods"): RegExp[] =>
    given[key].flatMap((pattern) => compile(key, pattern));
  return {
    includeNamespaces: all("includeNamespaces"),
    excludeNamespaces: all("excludeNamespaces"),
    excludePods: all("excludePods"),
    multiline,
    problems,
  };
}

function ruleText(
  rules: ReadonlyMap<string, string>,
  name: string,
  part: string,
  problems: { key: string; message: string }[],
): string[] {
  const text = rules.get(`${name}.${part}`);
  if (text !== undefined) return [text];
  problems.push({ key: `multiline.${name}.${part}`, message: "is required" });
  return [];
}
