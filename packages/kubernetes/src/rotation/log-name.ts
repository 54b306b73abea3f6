/**
 * Names that kubelet gives the logs of a container (pkg/kubelet/logs):
 *
 *   0.log                         written now; the number counts the container's restarts
 *   0.log.20260102-150405         rotated then
 *   0.log.20260102-150405.gz      compressed at the next rotation
 *   0.log.20260102-150405.tmp     being compressed; nothing of ours
 */
export interface LogName {
  readonly restarts: number;
  /** Undefined for the one that is written. */
  readonly rotatedAt: string | undefined;
  readonly isCompressed: boolean;
}

const form = /^(\d{1,9})\.log(?:\.(\d{8}-\d{6})(\.gz)?)?$/;

export function parseLogName(name: string): LogName | undefined {
  const [matched, restarts, rotatedAt, gz] = form.exec(name) ?? [];
  if (matched === undefined) return undefined;
  return { restarts: Number(restarts), rotatedAt, isCompressed: gz !== undefined };
}

export function formatLogName({ restarts, rotatedAt, isCompressed }: LogName): string {
  if (rotatedAt === undefined) return `${restarts}.log`;
  return `${restarts}.log.${rotatedAt}${isCompressed ? ".gz" : ""}`;
}

/** Negative when `a` was written before `b`; 0 also for a file and its compressed form. */
export function compareLogNames(a: LogName, b: LogName): number {
  if (a.restarts !== b.restarts) return a.restarts - b.restarts;
  if (a.rotatedAt === b.rotatedAt) return 0;
  if (a.rotatedAt === undefined) return 1;
  if (b.rotatedAt === undefined) return -1;
  return a.rotatedAt < b.rotatedAt ? -1 : 1;
}
