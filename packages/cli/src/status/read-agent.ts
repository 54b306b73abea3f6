import { formatHost, type Host } from "@millrace/rpc/discovery";
import { parseSamples, type Sample } from "./prometheus-text.ts";

/** What an agent's monitoring port said at one moment. */
export interface Reading {
  readonly address: string;
  /** On the monotonic clock. */
  readonly atMs: number;
  /** Undefined when it could not be read: `problem` says why. */
  readonly samples: readonly Sample[] | undefined;
  readonly problem: string | undefined;
  /** What `/readyz` says when it says no. */
  readonly notReady: string | undefined;
}

/** An agent with thousands of components stays far below. */
const bodyBytesMax = 32 * 1024 * 1024;

/** Reads it once. Never rejects. */
export async function readAgent(
  host: Host,
  timeoutMs: number,
  monotonic: () => number,
): Promise<Reading> {
  const address = formatHost(host);
  try {
    const signal = AbortSignal.timeout(timeoutMs);
    const ready = await get(`http://${address}/readyz`, signal);
    const metrics = await get(`http://${address}/metrics/prometheus`, signal);
    if (metrics.status !== 200) throw new Error(`/metrics/prometheus answers ${metrics.status}`);
    const samples = parseSamples(metrics.body);
    if (!samples.some(({ name }) => name.startsWith("millrace_"))) {
      throw new Error("what answers there is no Millrace agent");
    }
    const notReady = ready.status === 200 ? undefined : ready.body.trim();
    return { address, atMs: monotonic(), samples, problem: undefined, notReady };
  } catch (error) {
    const problem = reasonOf(error, timeoutMs);
    return { address, atMs: monotonic(), samples: undefined, problem, notReady: undefined };
  }
}

async function get(url: string, signal: AbortSignal): Promise<{ status: number; body: string }> {
  const response = await fetch(url, { signal, redirect: "error" });
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += (chunk as Uint8Array).length;
    if (bytes > bodyBytesMax) throw new Error(`its answer is over ${bodyBytesMax} bytes`);
    chunks.push(chunk as Uint8Array);
  }
  return { status: response.status, body: Buffer.concat(chunks).toString("utf8") };
}

function reasonOf(error: unknown, timeoutMs: number): string {
  const { cause, message, name } = error as Error;
  if (name === "TimeoutError") return `no answer within ${timeoutMs / 1000} s`;
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  return code ?? (cause instanceof Error ? cause.message : message);
}
