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

/** An agent with thousands of components stays below. */
const bodyBytesMax = 16 * 1024 * 1024;
/** `/readyz` says a line. */
const readyBytesMax = 64 * 1024;
const reasonLengthMax = 200;

/** What a system's or Node's code means for somebody who looks for an agent. */
const meanings: Readonly<Record<string, string>> = {
  EAI_AGAIN: "no name server answers",
  ECONNREFUSED: "nothing listens there: no agent, or another port",
  ECONNRESET: "the connection was cut",
  EHOSTUNREACH: "no way to that host",
  ENETUNREACH: "no way to that network",
  ENOTFOUND: "the name has no address",
  ETIMEDOUT: "the host does not answer",
  UND_ERR_SOCKET: "the connection was cut",
};

/** Reads it once. Never rejects; `giveUp` ends it early. */
export async function readAgent(
  host: Host,
  timeoutMs: number,
  monotonic: () => number,
  giveUp?: AbortSignal,
): Promise<Reading> {
  const address = formatHost(host);
  try {
    const late = AbortSignal.timeout(timeoutMs);
    const signal = giveUp === undefined ? late : AbortSignal.any([late, giveUp]);
    const metrics = await get(`http://${address}/metrics/prometheus`, signal, bodyBytesMax);
    if (metrics.status !== 200) {
      const hint =
        metrics.status >= 500 ? "see the log of what runs there" : "is that an agent's port?";
      throw new Error(`/metrics/prometheus answers ${metrics.status}: ${hint}`);
    }
    const samples = parseSamples(metrics.body);
    if (!samples.some(({ name }) => name.startsWith("millrace_"))) {
      throw new Error("what answers there is no Millrace agent: it has no metrics of one");
    }
    const ready = await get(`http://${address}/readyz`, signal, readyBytesMax);
    const notReady = ready.status === 200 ? undefined : reasonIn(ready.status, ready.body);
    return { address, atMs: monotonic(), samples, problem: undefined, notReady };
  } catch (error) {
    const problem = reasonOf(error, timeoutMs);
    return { address, atMs: monotonic(), samples: undefined, problem, notReady: undefined };
  }
}

interface Got {
  readonly status: number;
  readonly body: string;
}

async function get(url: string, signal: AbortSignal, bytesMax: number): Promise<Got> {
  const response = await fetch(url, { signal, redirect: "manual" });
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += (chunk as Uint8Array).length;
    if (bytes > bytesMax) throw new Error(`its answer is over ${bytesMax} bytes`);
    chunks.push(chunk as Uint8Array);
  }
  return { status: response.status, body: Buffer.concat(chunks).toString("utf8") };
}

/** The agent says why in a line; whatever stands before it may say something else. */
function reasonIn(status: number, body: string): string {
  const [line = ""] = body.trim().split("\n");
  return status === 503 && line !== "" && line.length <= reasonLengthMax && !line.startsWith("<")
    ? line
    : `/readyz answers ${status}`;
}

function reasonOf(error: unknown, timeoutMs: number): string {
  const { cause, message, name } = error as Error;
  if (name === "TimeoutError") {
    return `no answer within ${timeoutMs / 1000} s: the host is down, cut off or too busy`;
  }
  const code = (cause as NodeJS.ErrnoException | undefined)?.code;
  const text = cause instanceof Error && cause.message !== "" ? cause.message : message;
  // Bytes that are no HTTP. Node 24 gives the error no code.
  if (cause instanceof Error && cause.name === "HTTPParserError") {
    return `what answers does not speak HTTP: ${text}`;
  }
  if (code === undefined) return text;
  return `${code}: ${meanings[code] ?? text}`;
}
