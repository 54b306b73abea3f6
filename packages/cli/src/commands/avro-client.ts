import {
  type Clock,
  EventBatch,
  type FileSystem,
  type MillraceError,
  silentLog,
  systemRuntime,
  toMillraceError,
} from "@millrace/core";
import { createRpcClient, type RpcClient } from "@millrace/rpc";
import { createProgress, type Progress, type Screen } from "../avro-client/progress.ts";
import { openFile } from "../avro-client/read-file.ts";
import { readHeaderFile } from "../avro-client/read-header-file.ts";
import { readLines } from "../avro-client/read-lines.ts";
import { sendDirectory } from "../avro-client/send-directory.ts";
import { type ExitCode, exitCode, type SignalExitCode, signalExitCode } from "../exit-code.ts";
import { help } from "../help.ts";
import type { Command, Output } from "../program.ts";
import { type AvroClientWords, parseAvroClientWords } from "../words/avro-client-options.ts";
import { gatherDefines } from "../words/gather-defines.ts";
import { listenToSignals } from "./signals.ts";

/** As Flume's avro-client with host and port. */
const flumeBatchSize = 5;

/** What the command has beside its words, so that tests can give their own. */
export interface AvroClientSurroundings {
  readonly stdin: AsyncIterable<Buffer>;
  readonly screen: Screen;
  readonly clock: Clock;
  readonly files: FileSystem;
  /** Aborted, with the exit code as the reason, when the user has enough. */
  readonly interrupted: AbortSignal;
  readonly systemProperties: ReadonlyMap<string, string>;
}

/** Sends the lines of a file, of a directory's files or of standard input to an Avro source. */
export const avroClientCommand: Command = async (words, program, output) => {
  const asked = parseAvroClientWords(words);
  if (asked === "help") {
    output.out(help(program));
    return exitCode.ok;
  }
  if ("problem" in asked) {
    output.err(`${program} avro-client: ${asked.problem}\n\n${help(program)}`);
    return exitCode.usage;
  }
  const { files, clock } = systemRuntime;
  const gathered = await gatherDefines(words, asked.confDirectory, process.env, files);
  for (const note of [...asked.notes, ...gathered.notes]) output.err(note);
  const interrupted = new AbortController();
  const signals = listenToSignals(() => interrupted.abort(signalExitCode("SIGHUP")));
  void signals.asked.then((signal) => interrupted.abort(signalExitCode(signal)));
  const code = await runAvroClient(asked, output, {
    stdin: process.stdin,
    screen: {
      isTerminal: process.stderr.isTTY === true,
      write: (text) => void process.stderr.write(text),
    },
    clock,
    files,
    interrupted: interrupted.signal,
    systemProperties: gathered.defines,
  });
  signals.release();
  // A read of standard input that is under way would keep the process.
  if (interrupted.signal.aborted) process.exit(code);
  return code;
};

/** Resolves with the exit code when everything is sent, something failed, or it was interrupted. */
export async function runAvroClient(
  asked: AvroClientWords,
  output: Output,
  around: AvroClientSurroundings,
): Promise<ExitCode> {
  const { clock, files, interrupted, screen } = around;
  let client: RpcClient | undefined;
  let input: Input | undefined;
  let sending: Sending | undefined;
  // Whoever presses ^C does not wait for an answer: what is in flight is cut.
  const cut = (): void => void client?.close(AbortSignal.abort());
  interrupted.addEventListener("abort", cut, { once: true });
  try {
    const headers =
      asked.headerFile === undefined ? undefined : await readHeaderFile(files, asked.headerFile);
    input = await openInput(asked, around);
    client = await unlessAborted(connectTo(asked, around), interrupted);
    if (client !== undefined) {
      const progress = createProgress(clock, screen, input.bytes);
      sending = { client, headers, progress, inFlight: 0, wasSetAside: false };
      await input.send(sending, output);
      await client.close();
    }
  } catch (thrown) {
    if (!interrupted.aborted) return tellFailure(toMillraceError(thrown), sending, output);
  } finally {
    interrupted.removeEventListener("abort", cut);
    await client?.close(AbortSignal.abort());
    await input?.close();
  }
  return tellEnd(sending, interrupted, output);
}

/** What is under way. */
interface Sending {
  readonly client: RpcClient;
  /** In place of those of the events. */
  readonly headers: ReadonlyMap<string, string> | undefined;
  readonly progress: Progress;
  /** Events without an answer. */
  inFlight: number;
  /** A file of the directory could not be sent whole; why was said. */
  wasSetAside: boolean;
}

interface Input {
  /** Where that is known. */
  readonly bytes: number | undefined;
  send(sending: Sending, output: Output): Promise<void>;
  close(): Promise<void>;
}

/** Looks at the input before anyone is connected to: a missing file is said at once. */
async function openInput(
  { input }: AvroClientWords,
  { files, interrupted, stdin }: AvroClientSurroundings,
): Promise<Input> {
  const close = (): Promise<void> => Promise.resolve();
  switch (input.kind) {
    case "directory":
      return {
        bytes: undefined,
        close,
        send: (sending, { err }) => sendFilesOf(input.path, sending, err, interrupted),
      };
    case "file": {
      const file = await openFile(files, input.path);
      const send = (sending: Sending) => sendLines(file.chunks, input.path, sending, interrupted);
      return { bytes: file.bytes, send, close: () => file.close() };
    }
    case "stdin": {
      const chunks = chunksUntil(stdin, interrupted);
      const send = (sending: Sending) => sendLines(chunks, "standard input", sending, interrupted);
      return { bytes: undefined, send, close };
    }
  }
}

function sendFilesOf(
  path: string,
  sending: Sending,
  err: Output["err"],
  giveUp: AbortSignal,
): Promise<void> {
  const { batchSize } = sending.client;
  const error = (message: string): void => {
    sending.wasSetAside = true;
    err(message);
  };
  const send = (batch: EventBatch): Promise<void> =>
    sendBatch(sending, withHeaders(batch, sending.headers), bodyBytes(batch));
  return sendDirectory({
    path,
    batchSize,
    log: { ...silentLog, warn: err, error },
    send,
    giveUp,
  });
}

async function sendLines(
  chunks: AsyncIterable<Buffer>,
  name: string,
  sending: Sending,
  interrupted: AbortSignal,
): Promise<void> {
  const { client, headers } = sending;
  let before = 0;
  const linesOf = readLines(chunks, name, client.batchSize, client.maxFrameBytes);
  for await (const { lines, bytesRead } of linesOf) {
    if (interrupted.aborted) return;
    const batch = EventBatch.fromEvents(
      lines.map((body) => (headers === undefined ? { body } : { body, headers })),
    );
    await sendBatch(sending, batch, bytesRead - before);
    before = bytesRead;
  }
}

async function sendBatch(sending: Sending, batch: EventBatch, bytes: number): Promise<void> {
  sending.inFlight = batch.length;
  await sending.client.appendBatch(batch);
  sending.inFlight = 0;
  sending.progress.sent(batch.length, bytes);
}

function withHeaders(batch: EventBatch, headers: Sending["headers"]): EventBatch {
  return headers === undefined ? batch : batch.map(({ body }) => ({ headers, body }));
}

function bodyBytes(batch: EventBatch): number {
  let bytes = 0;
  for (const { body } of batch) bytes += body.length;
  return bytes;
}

/** Undefined when the signal is first; the promise goes on by itself then. */
async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T | undefined> {
  let stop = (): void => {};
  const aborted = new Promise<undefined>((resolve) => {
    stop = () => resolve(undefined);
    signal.addEventListener("abort", stop, { once: true });
    if (signal.aborted) stop();
  });
  promise.catch(() => {});
  const first = await Promise.race([promise, aborted]);
  signal.removeEventListener("abort", stop);
  return first;
}

/**
 * What has come until the signal; a read that waits for more ends then. Whoever stops reading, and
 * for whatever reason, has closed the input: an open one would keep the process.
 */
async function* chunksUntil(
  chunks: AsyncIterable<Buffer>,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const iterator = chunks[Symbol.asyncIterator]();
  try {
    while (!signal.aborted) {
      const next = await unlessAborted(iterator.next(), signal);
      if (next === undefined || next.done === true) return;
      yield next.value;
    }
  } finally {
    // It waits for a read that is under way, so nobody waits for it.
    iterator.return?.().catch(() => {});
  }
}

async function connectTo(
  { target }: AvroClientWords,
  { systemProperties, clock, files }: AvroClientSurroundings,
): Promise<RpcClient> {
  const settings = { systemProperties, clock, files };
  if ("rpcProps" in target) return createRpcClient(target.rpcProps, settings);
  const { host, port } = target;
  const address = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
  const properties = { hosts: "h1", "hosts.h1": address, "batch-size": flumeBatchSize };
  return createRpcClient(properties, settings);
}

function tellFailure(
  error: MillraceError,
  sending: Sending | undefined,
  { err }: Output,
): ExitCode {
  const said = sending?.progress.finish();
  if (sending === undefined || sending.progress.events + sending.inFlight === 0) {
    err(`nothing was sent: ${error.message}`);
    return error.code === "CONFIG_INVALID" ? exitCode.configuration : exitCode.start;
  }
  err(`${said}; then: ${error.code} ${error.message}${inDoubt(sending)}`);
  return exitCode.fatal;
}

function tellEnd(
  sending: Sending | undefined,
  interrupted: AbortSignal,
  { err }: Output,
): ExitCode {
  const said = sending?.progress.finish() ?? "nothing was sent";
  if (interrupted.aborted) {
    err(`interrupted: ${said}${sending === undefined ? "" : inDoubt(sending)}`);
    return interrupted.reason as SignalExitCode;
  }
  err(said);
  return sending?.wasSetAside === true ? exitCode.fatal : exitCode.ok;
}

/** Events that were sent and not answered. */
function inDoubt({ inFlight }: Sending): string {
  return inFlight === 0 ? "" : `; ${inFlight} more were not acknowledged and may have arrived`;
}
