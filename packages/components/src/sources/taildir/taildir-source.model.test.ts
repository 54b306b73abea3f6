import {
  MillraceError,
  type PollableSource,
  type Random,
  systemClock,
  systemRuntime,
} from "@millrace/core";
import {
  createFailingFiles,
  createSeededRandom,
  optionsOf,
  sourceContext,
  tempDirectory,
  type TestComponentContext,
} from "@millrace/testing";
import assert from "node:assert/strict";
import { appendFile, rename, rm, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { source as definition } from "./index.ts";

const seeds = Number(process.env["SEEDS"] ?? 40);
const actionsPerSeed = 60;
const idleTimeoutMs = 120_000;
const never = new AbortController().signal;

/** What one file holds from a beginning on: creating or cutting a file begins another. */
interface Content {
  readonly id: number;
  /** Every whole line, in order, and whether it has to arrive. */
  readonly lines: { readonly text: string; isOwed: boolean }[];
  /** The last line while it lacks its line feed. */
  partial: string;
  /** Its name; undefined when deleted. */
  name: string | undefined;
  /** A poll has seen it in this process, so that it is held open. */
  isHeld: boolean;
  /** How many lines it had when it was closed as idle; it is held again once it has more. */
  closedAtLines: number | undefined;
  /** A poll has seen it with bytes in it and recorded it: a restart finds it under any name. */
  isRecorded: boolean;
}

type Counts = Record<
  | "renamedIn"
  | "renamedOut"
  | "truncated"
  | "deleted"
  | "restarted"
  | "crashed"
  | "blocked"
  | "idle",
  number
>;

const isPatternName = (name: string | undefined): boolean => name?.endsWith(".log") === true;

/** Random actions on real files, a real source over them, and the ten lines that say what is owed. */
class Run {
  readonly counts: Counts = {
    renamedIn: 0,
    renamedOut: 0,
    truncated: 0,
    deleted: 0,
    restarted: 0,
    crashed: 0,
    blocked: 0,
    idle: 0,
  };
  readonly delivered: string[] = [];
  readonly contents: Content[] = [];
  rotations = 0;
  truncations = 0;
  readonly #dir: string;
  readonly #random: Random;
  readonly #properties: Record<string, string>;
  #elapsedMs = 0;
  #times = 0;
  #names = 0;
  #isBlocked = false;
  #diesAt = Infinity;
  #files = createFailingFiles(systemRuntime.files, () => false);
  #source: PollableSource | undefined;
  #context: TestComponentContext<ReturnType<typeof sourceContext>> | undefined;

  constructor(dir: string, seed: number) {
    this.#dir = dir;
    this.#random = createSeededRandom(seed);
    this.#properties = {
      filegroups: "g",
      "filegroups.g": `${dir}/.*[.]log`,
      positionFile: `${dir}/positions.json`,
      batchSize: String(1 + this.#random.integer(4)),
      maxBatchCount: String(this.#random.integer(3)),
      cachePatternMatching: String(this.#random.integer(2) === 0),
      idleTimeout: String(idleTimeoutMs),
    };
  }

  async start(): Promise<void> {
    this.#diesAt = Infinity;
    const files = createFailingFiles(systemRuntime.files, (n) => n >= this.#diesAt);
    const clock = {
      now: systemClock.now,
      monotonic: () => this.#elapsedMs,
      setTimer: (ms: number, fire: () => void) => {
        const timer = setImmediate(() => {
          this.#elapsedMs += ms;
          fire();
        });
        return { cancel: () => clearImmediate(timer) };
      },
    };
    this.#files = files;
    this.#context = sourceContext({
      runtime: { ...systemRuntime, clock, files },
      channelProcessor: {
        processEventBatch: (batch) => {
          files.step();
          if (this.#isBlocked) return Promise.reject(new MillraceError("CHANNEL_FULL", "full"));
          for (const event of batch) this.delivered.push(event.body.toString());
          files.step();
          return Promise.resolve();
        },
      },
    }) as never;
    const options = optionsOf(definition.options, this.#properties);
    this.#source = (await definition.create(options, this.#context as never)) as PollableSource;
    await this.#source.start(never);
    this.#saw();
  }

  /** After a look that went well: what is there is held open, and recorded once it has bytes. */
  #saw(): void {
    for (const content of this.contents) {
      const isClosed = content.closedAtLines === content.lines.length && content.partial === "";
      if (isPatternName(content.name) && !isClosed) {
        content.isHeld = true;
        content.closedAtLines = undefined;
      }
      const isKnown = content.isHeld || content.isRecorded;
      if (isKnown && (content.lines.length > 0 || content.partial !== ""))
        content.isRecorded = true;
    }
  }

  async poll(): Promise<"ready" | "backoff"> {
    const answer = await (this.#source as PollableSource).poll(never);
    this.#saw();
    return answer;
  }

  async stop(): Promise<void> {
    await this.#source?.stop(never);
    const metrics = this.#context?.metrics;
    this.rotations += metrics?.value("millrace_source_files_rotated_total") ?? 0;
    this.truncations += metrics?.value("millrace_source_files_truncated_total") ?? 0;
    for (const content of this.contents) {
      content.isHeld = false;
      content.closedAtLines = undefined;
      const isFindable =
        isPatternName(content.name) || (content.name !== undefined && content.isRecorded);
      if (!isFindable) this.#excuse(content);
    }
  }

  /** Lines that nobody can deliver any more need not arrive; those that did may come again. */
  #excuse(content: Content): void {
    for (const line of content.lines) line.isOwed = false;
  }

  async #crash(): Promise<void> {
    this.counts.crashed++;
    this.#diesAt = this.#files.operations + 1 + this.#random.integer(40);
    const known = this.contents.map(({ isRecorded }) => ({ isRecorded }));
    for (let i = 0; i < 3 && this.#files.failures === 0; i++) await this.poll().catch(() => {});
    // What the last polls saw may not have been recorded.
    for (const [i, before] of known.entries()) Object.assign(this.contents[i] as Content, before);
    this.#diesAt = 0;
    await this.stop();
  }

  #live(accept: (content: Content) => boolean): Content | undefined {
    const live = this.contents.filter((content) => content.name !== undefined && accept(content));
    return live[this.#random.integer(Math.max(1, live.length))];
  }

  #path(name: string): string {
    return join(this.#dir, name);
  }

  #begin(name: string): Content {
    const id = this.contents.length;
    const content: Content = {
      id,
      lines: [],
      partial: "",
      name,
      isHeld: false,
      closedAtLines: undefined,
      isRecorded: false,
    };
    this.contents.push(content);
    return content;
  }

  async #append(content: Content): Promise<void> {
    let bytes = "";
    for (let i = this.#random.integer(5); i >= 0; i--) {
      const isBegun = content.partial !== "";
      const padding = "x".repeat(this.#random.integer(9));
      const text = isBegun ? content.partial : `${content.id}:${content.lines.length}:${padding}`;
      bytes += isBegun ? "\n" : `${text}\n`;
      content.partial = "";
      const isOwed = isPatternName(content.name) || content.isHeld || content.isRecorded;
      content.lines.push({ text, isOwed });
    }
    if (this.#random.integer(4) === 0) {
      content.partial = `${content.id}:${content.lines.length}:p`;
      bytes += content.partial;
    }
    await appendFile(this.#path(content.name as string), bytes);
  }

  async #completePartials(): Promise<void> {
    for (const content of this.contents) {
      if (content.partial === "" || content.name === undefined) continue;
      const isOwed = isPatternName(content.name) || content.isHeld || content.isRecorded;
      content.lines.push({ text: content.partial, isOwed });
      content.partial = "";
      await appendFile(this.#path(content.name), "\n");
    }
  }

  /** The file is gone: only an open handle leads to it now. */
  #lose(content: Content): void {
    content.name = undefined;
    if (!content.isHeld) this.#excuse(content);
  }

  async act(): Promise<void> {
    const pick = this.#random.integer(100);
    if (pick < 10) await this.#create();
    else if (pick < 45) await this.#appendSomewhere();
    else if (pick < 51) await this.#rename(`r${this.#names++ % 3}.log`, "renamedIn");
    else if (pick < 57) await this.#rename(`r${this.#names++}.old`, "renamedOut");
    else if (pick < 61) await this.#truncate();
    else if (pick < 65) await this.#delete();
    else if (pick < 69) await this.#restart();
    else if (pick < 73) {
      await this.#crash();
      await this.start();
    } else if (pick < 77) {
      this.#isBlocked = !this.#isBlocked;
      this.counts.blocked++;
    } else if (pick < 80) await this.#idle();
    else await this.poll();
  }

  async #create(): Promise<void> {
    const name = `f${this.#random.integer(4)}.log`;
    if (this.contents.some((content) => content.name === name)) return;
    this.#begin(name);
    await writeFile(this.#path(name), "", { flag: "wx" });
  }

  async #appendSomewhere(): Promise<void> {
    const content = this.#live(() => true);
    if (content !== undefined) await this.#append(content);
  }

  async #rename(to: string, kind: "renamedIn" | "renamedOut"): Promise<void> {
    const content = this.#live(({ name }) => isPatternName(name) && name !== to);
    if (content === undefined) return;
    this.counts[kind]++;
    const overwritten = this.contents.find(({ name }) => name === to);
    if (overwritten !== undefined) this.#lose(overwritten);
    await rename(this.#path(content.name as string), this.#path(to));
    content.name = to;
    if (!isPatternName(to) && !content.isHeld && !content.isRecorded) this.#excuse(content);
  }

  async #truncate(): Promise<void> {
    const old = this.#live(({ name }) => isPatternName(name));
    if (old === undefined) return;
    this.counts.truncated++;
    const { name } = old;
    this.#excuse(old);
    old.name = undefined;
    const content = this.#begin(name as string);
    content.isHeld = old.isHeld;
    await truncate(this.#path(name as string), 0);
    if (this.#random.integer(2) === 0) await this.#append(content);
    // A disk's clock may not have ticked since: a tick a cut is the least a log has.
    const second = Date.now() / 1000 + this.#times++;
    await utimes(this.#path(name as string), second, second);
  }

  async #delete(): Promise<void> {
    const content = this.#live(() => true);
    if (content === undefined) return;
    this.counts.deleted++;
    await rm(this.#path(content.name as string));
    this.#lose(content);
  }

  async #restart(): Promise<void> {
    this.counts.restarted++;
    await this.stop();
    if (this.#random.integer(2) === 0) await this.#appendSomewhere();
    if (this.#random.integer(2) === 0)
      await this.#rename(
        `r${this.#names++}.${this.#random.integer(2) === 0 ? "old" : "log"}`,
        "renamedIn",
      );
    await this.start();
  }

  /** Everything read, then long nothing: files are closed, and those without a name given up. */
  async #idle(): Promise<void> {
    this.counts.idle++;
    await this.drain();
    this.#elapsedMs += idleTimeoutMs + 1;
    await this.poll();
    for (const content of this.contents) {
      if (isPatternName(content.name) && content.lines.length === 0) continue;
      content.isHeld = false;
      content.closedAtLines = content.lines.length;
      if (!isPatternName(content.name)) {
        content.isRecorded = false;
        this.#excuse(content);
      }
    }
  }

  /** Reads all there is. */
  async drain(): Promise<void> {
    this.#isBlocked = false;
    await this.#completePartials();
    for (let quiet = 0; quiet < 2;) quiet = (await this.poll()) === "backoff" ? quiet + 1 : 0;
    this.check();
  }

  check(): void {
    const firstAt = new Map<string, number>();
    for (const [i, text] of this.delivered.entries()) if (!firstAt.has(text)) firstAt.set(text, i);
    const written = new Set(this.contents.flatMap(({ lines }) => lines.map(({ text }) => text)));
    for (const { partial } of this.contents) written.add(partial);
    for (const text of firstAt.keys()) assert.ok(written.has(text), `nobody wrote "${text}"`);
    for (const { lines } of this.contents) {
      let last = -1;
      for (const { text, isOwed } of lines) {
        const at = firstAt.get(text);
        if (at === undefined) {
          assert.ok(!isOwed, `"${text}" never arrived`);
          continue;
        }
        assert.ok(at > last, `"${text}" came before a line that was written before it`);
        last = at;
      }
    }
  }
}

void test(`${seeds} seeds of appends, rotations, cuts, deletions, restarts and crashes: what is owed arrives, in order, and nothing else`, async (test) => {
  const sums: Record<string, number> = {};
  const add = (name: string, count: number): void => {
    sums[name] = (sums[name] ?? 0) + count;
  };
  const firstSeed = Number(process.env["SEED"] ?? 1);
  for (let seed = firstSeed; seed < firstSeed + seeds; seed++) {
    const run = new Run(await tempDirectory(test), seed);
    try {
      await run.start();
      for (let i = 0; i < actionsPerSeed; i++) await run.act();
      await run.drain();
      await run.stop();
    } catch (error) {
      throw new Error(`SEED=${seed} SEEDS=1: ${(error as Error).message}`, { cause: error });
    }
    for (const [name, count] of Object.entries(run.counts)) add(name, count);
    const lines = run.contents.flatMap((content) => content.lines);
    add("lines", lines.length);
    add("owed", lines.filter(({ isOwed }) => isOwed).length);
    add("repeats", run.delivered.length - new Set(run.delivered).size);
    add("rotationsSeen", run.rotations);
    add("truncationsSeen", run.truncations);
  }
  test.diagnostic(JSON.stringify(sums));
  if (seeds < 20) return;
  for (const name of ["renamedIn", "renamedOut", "truncated", "deleted", "restarted", "crashed"])
    assert.ok((sums[name] ?? 0) >= seeds / 2, `${name}: ${sums[name]}`);
  assert.ok((sums["rotationsSeen"] ?? 0) >= seeds, `${sums["rotationsSeen"]} rotations seen`);
  assert.ok((sums["truncationsSeen"] ?? 0) >= seeds / 4, `${sums["truncationsSeen"]} cuts seen`);
  assert.ok((sums["owed"] ?? 0) > seeds * 10, `${sums["owed"]} lines owed`);
});
