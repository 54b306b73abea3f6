import type { ExitCode } from "../exit-code.ts";
import { createJceksKeyProvider, type JavaChannel, openJavaChannel } from "@millrace/file-channel";
import { join } from "node:path";
import { openPositionFile, type PositionFile } from "./import-position.ts";
import { openTarget, type OpenTarget } from "./import-target.ts";
import { createProgressBar, type ProgressBar } from "./progress.ts";
import { type ImportWords, parseImportWords } from "./import-words.ts";
import { type SubCommand, type Surroundings, toolExitCode, UsageError } from "./sub-command.ts";

const batchBytesMax = 4 * 1024 * 1024;
const damagesShownMax = 20;

export const importCommand: SubCommand = {
  summary: "takes over what a Java Flume agent left in its file channel",
  usage: `import <dataDir>... --into <dataDirs> | --to avro://<host>:<port> | --dry-run [options]

  Reads the file channel of a Java Flume agent (1.4 to 1.11) that has been stopped or killed, and
  puts every event that it had acknowledged and not delivered into a file channel of Millrace, new
  or existing, or sends it to an Avro source. The Java directories are not changed. Broken off, it
  goes on where it was when it is run again with the same words.

  <dataDir>...                     all dataDirs of the Java channel, separated by blanks or commas
  --checkpoint-dir <dir>           its checkpointDir; looked for beside the dataDirs otherwise.
                                   With it, nothing is delivered twice that need not be
  --into <dataDirs>                of a channel of Millrace whose agent does not run
  --to avro://<host>:<port>        an Avro source of Millrace or Flume
  --dry-run                        reads everything, and says what would be imported
  --key-store <file>               of an encrypted Java channel: its keyProvider.keyStoreFile
  --key-store-password-file <file> and its keyStorePasswordFile
  --key-password-file <alias>=<file>  the password of a key that has its own; may be repeated
  --active-key <alias>             encrypts what is written with this key of the key store
  --plain                          writes it unencrypted although the Java channel is encrypted
  --batch-size <n>                 events of one transaction, 1000; at most these come twice when
                                   the import is killed and run again
  --position-file <file>           where it notes how far it is: otherwise in the first directory of
                                   --into, or, with --to, in the working directory
  --yes                            go on where it cannot be told whether a Java agent still runs, or
                                   where data files are missing

  example
    millrace file-channel import /flume/data1 /flume/data2 --checkpoint-dir /flume/checkpoint --into /millrace/c1`,
  async run(args, around) {
    const words = parseImportWords(args, around.home);
    const { output } = around;
    const java = await openJava(words, around);
    for (const note of java.notes) output.err(note);
    output.out(
      `${java.events} events are waiting in the Java channel in ${words.dataDirs.join(", ")}`,
    );
    return words.target === undefined
      ? await dryRun(java, words, around)
      : await importInto(java, words, words.target, around);
  },
};

async function openJava(words: ImportWords, around: Surroundings): Promise<JavaChannel> {
  const { files, clock } = around.runtime;
  const bar = createProgressBar(clock, around.screen);
  try {
    return await openJavaChannel(files, {
      dataDirs: words.dataDirs,
      checkpointDir: words.checkpointDir,
      keys: keysOf(words, around),
      goOn: words.yes,
      progress: (bytes, bytesTotal) => bar.update({ what: "replayed", bytes, bytesTotal }),
    });
  } finally {
    bar.clear();
  }
}

function keysOf(
  { keyStore }: ImportWords,
  { runtime }: Surroundings,
): ReturnType<typeof createJceksKeyProvider> | undefined {
  if (keyStore === undefined) return undefined;
  const { file, passwordFile, keyPasswordFiles } = keyStore;
  return createJceksKeyProvider(
    { keyStoreFile: file, keyStorePasswordFile: passwordFile, keyPasswordFiles },
    runtime.files,
  );
}

async function dryRun(
  java: JavaChannel,
  words: ImportWords,
  around: Surroundings,
): Promise<ExitCode> {
  const tally = new Tally(java, around);
  const bar = createProgressBar(around.runtime.clock, around.screen);
  let bytes = 0;
  try {
    const limits = { eventsMax: words.batchSize, bytesMax: batchBytesMax };
    for await (const read of java.read(0, limits)) {
      if (around.interrupted.aborted) return around.interrupted.reason as ExitCode;
      tally.add(read);
      bytes += read.batch.byteLength;
      show(bar, "read", java, read.end);
    }
  } finally {
    bar.clear();
  }
  around.output.out(
    `${tally.put} events of ${bytes} bytes can be imported${tally.said()}; nothing was written`,
  );
  return tally.exitCode();
}

async function importInto(
  java: JavaChannel,
  words: ImportWords,
  target: NonNullable<ImportWords["target"]>,
  around: Surroundings,
): Promise<ExitCode> {
  if (java.encrypted && target.kind === "channel" && target.activeKey === undefined) {
    throw new UsageError(
      "the Java channel is encrypted: say --active-key <alias> to encrypt what is written, or --plain",
    );
  }
  const keys = keysOf(words, around);
  const opened = await openTarget(target, keys, words.batchSize, java.fingerprint, around);
  let position: PositionFile | undefined;
  try {
    position = await openPositionFile(
      around.runtime.files,
      words.positionFile ?? opened.positionPath,
      java.fingerprint,
    );
    if (position.left?.done === true) {
      const { put } = position.left;
      around.output.out(`the import was done before: ${put} events, as ${position.path} says`);
      return toolExitCode.ok;
    }
    return await moveEvents(java, words, opened, position, around);
  } finally {
    await position?.close();
    await opened.close();
  }
}

async function moveEvents(
  java: JavaChannel,
  words: ImportWords,
  target: OpenTarget,
  file: PositionFile,
  around: Surroundings,
): Promise<ExitCode> {
  const { output, interrupted } = around;
  const { position = 0, put = 0 } = file.left ?? {};
  if (position > 0) output.out(`going on behind ${position} events that were imported before`);
  const tally = new Tally(java, around, put);
  const bar = createProgressBar(around.runtime.clock, around.screen);
  let reached = position;
  try {
    const limits = { eventsMax: words.batchSize, bytesMax: batchBytesMax };
    for await (const read of java.read(position, limits)) {
      if (interrupted.aborted) {
        output.err(`${reached} of ${java.events} events are imported; run it again to go on`);
        return interrupted.reason as ExitCode;
      }
      if (read.batch.length > 0) await target.put(read.batch);
      tally.add(read);
      reached = read.end;
      await file.write({ position: reached, put: tally.put, done: false });
      show(bar, "imported", java, reached);
    }
  } finally {
    bar.clear();
  }
  await file.write({ position: reached, put: tally.put, done: true });
  output.out(`imported ${tally.put} events${tally.said()}`);
  if (words.target?.kind === "channel") {
    output.out(configurationFor(words.target.dataDirs, target.size ?? 0, words.target.activeKey));
  }
  return tally.exitCode();
}

/** The events that are waiting lie scattered, so their share of the files' bytes is as good as any. */
function show(bar: ProgressBar, what: string, { events, bytes }: JavaChannel, done: number): void {
  bar.update(
    { what, bytes: Math.round((bytes * done) / events), bytesTotal: bytes },
    `${done} of ${events} events`,
  );
}

/** What was read, and what could not be. */
class Tally {
  put: number;
  #damaged: number;
  #struckOut = 0;
  readonly #around: Surroundings;

  constructor(java: JavaChannel, around: Surroundings, put = 0) {
    this.put = put;
    this.#around = around;
    this.#damaged = 0;
    for (const damage of java.damages) this.#show(damage);
  }

  add(read: {
    batch: { length: number };
    damages: JavaChannel["damages"];
    struckOut: number;
  }): void {
    this.put += read.batch.length;
    this.#struckOut += read.struckOut;
    for (const damage of read.damages) this.#show(damage);
  }

  #show({ file, offset, what }: JavaChannel["damages"][number]): void {
    this.#damaged++;
    const { err } = this.#around.output;
    if (this.#damaged <= damagesShownMax) err(`damage in ${file} at ${offset}: ${what}`);
    if (this.#damaged === damagesShownMax + 1) err("there is more damage, which is counted only");
  }

  said(): string {
    const parts: string[] = [];
    if (this.#damaged > 0) parts.push(`${this.#damaged} places in the data files are damaged`);
    if (this.#struckOut > 0) {
      parts.push(`${this.#struckOut} events had been struck out by Flume's integrity tool`);
    }
    return parts.length === 0 ? "" : `; ${parts.join(", ")}`;
  }

  exitCode(): ExitCode {
    return this.#damaged > 0 ? toolExitCode.wrong : toolExitCode.ok;
  }
}

const flumeCapacity = 1_000_000;

/** What goes into the configuration of the agent that takes over. */
function configurationFor(
  dataDirs: readonly string[],
  events: number,
  activeKey: string | false | undefined,
): string {
  const lines = [
    "type = file",
    `dataDirs = ${dataDirs.map((directory) => join(directory)).join(",")}`,
    // Above its capacity a channel delivers and takes nothing.
    ...(events >= flumeCapacity ? [`capacity = ${2 * events}`] : []),
    ...(typeof activeKey === "string" ? [`encryption.activeKey = ${activeKey}`] : []),
  ];
  const properties = lines.map((line) => `  <agent>.channels.<channel>.${line}`).join("\n");
  return `
The channel holds ${events} events. In the configuration of the agent that takes over:

${properties}

checkpointDir is not needed any more. The Java directories were not changed: keep them until the
new agent runs as it should, and do not start Java Flume on them again.`;
}
