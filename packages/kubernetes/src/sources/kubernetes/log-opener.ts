import { type FileSystem, hasHead, type Head, systemErrorCode } from "@millrace/core";
import type { LogName } from "../../rotation/log-name.ts";
import type { ContainerListing, FoundLog } from "./container-listing.ts";
import type { LogReports } from "./log-reports.ts";
import { openLog, type OpenLog } from "./open-log.ts";

/** Opens the logs of a listing. What is not as it was listed is listed again. */
export class LogOpener {
  #failure: Error | undefined;
  readonly #files: FileSystem;
  readonly #listing: ContainerListing;
  readonly #reports: LogReports;

  constructor(files: FileSystem, listing: ContainerListing, reports: LogReports) {
    this.#files = files;
    this.#listing = listing;
    this.#reports = reports;
  }

  /** Why a log could not be opened that another look may open, if one could not since last asked. */
  takeFailure(): Error | undefined {
    const failure = this.#failure;
    this.#failure = undefined;
    return failure;
  }

  /** Undefined when there is no such file, or it cannot be read now. */
  async open(path: string, name: LogName): Promise<OpenLog | undefined> {
    try {
      const opened = await openLog(this.#files, path, name.isCompressed);
      if (opened === undefined) throw new Error("it was renamed or removed meanwhile");
      this.#reports.readable(path);
      return opened;
    } catch (error) {
      this.#listing.forget();
      const code = systemErrorCode(error);
      if (code !== "") this.#reports.unreadable(path, error);
      // What is damaged stays so; what fails otherwise may not fail next time.
      if (!code.startsWith("Z_")) this.#failure = error as Error;
      return undefined;
    }
  }

  /** The compressed form of a log among these, by the first bytes of what it holds. */
  async findCompressed(
    log: Head & { readonly name: LogName },
    entries: Iterable<FoundLog>,
  ): Promise<{ entry: FoundLog; opened: OpenLog } | undefined> {
    if (log.headBytes === 0) return undefined;
    for (const entry of entries) {
      if (!entry.name.isCompressed || entry.name.restarts !== log.name.restarts) continue;
      const opened = await this.open(entry.path, entry.name);
      if (opened === undefined) continue;
      if (hasHead(log, opened.head)) return { entry, opened };
      await opened.close();
    }
    return undefined;
  }
}
