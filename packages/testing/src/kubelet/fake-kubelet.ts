import { createHash } from "node:crypto";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import {
  createFakeContainer,
  type FakeContainer,
  type FakeContainerOptions,
} from "./fake-container.ts";

export interface FakeKubeletOptions {
  /** Stands for `/var/log`. */
  readonly directory: string;
  readonly format?: FakeContainerOptions["format"];
  /** kubelet's containerLogMaxFiles; 5 when left out, as there. */
  readonly maxFiles?: number;
  /** 16 KiB when left out, as containerd and Docker have it. */
  readonly pieceBytes?: number;
}

export interface FakePodName {
  readonly namespace?: string;
  readonly name: string;
  readonly uid?: string;
}

export interface FakePod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** The container, made when it is asked for first. */
  container(name: string): FakeContainer;
  /** The pod is gone, with its logs. */
  delete(): void;
}

/**
 * A node's logs as kubelet and a container runtime lay them out and rotate them: rename, a new file,
 * compression at the next rotation through a temporary name, the oldest removed
 * (pkg/kubelet/logs/container_log_manager.go).
 */
export interface FakeKubelet {
  /** `/var/log/pods` */
  readonly podsDirectory: string;
  /** `/var/log/containers`: links to the logs that are written. */
  readonly containersDirectory: string;
  pod(name: FakePodName): FakePod;
}

export function createFakeKubelet(options: FakeKubeletOptions): FakeKubelet {
  const podsDirectory = join(options.directory, "pods");
  const containersDirectory = join(options.directory, "containers");
  mkdirSync(podsDirectory, { recursive: true });
  mkdirSync(containersDirectory, { recursive: true });

  return {
    podsDirectory,
    containersDirectory,
    pod({ namespace = "default", name, uid = uidOf(`${namespace}/${name}`) }) {
      const containers = new Map<string, FakeContainer>();
      const directory = join(podsDirectory, `${namespace}_${name}_${uid}`);
      return {
        namespace,
        name,
        uid,
        container(containerName) {
          const known = containers.get(containerName);
          if (known !== undefined) return known;
          const id = createHash("sha256").update(`${uid}/${containerName}`).digest("hex");
          const link = `${name}_${namespace}_${containerName}-${id}.log`;
          const made = createFakeContainer({
            directory: join(directory, containerName),
            link: join(containersDirectory, link),
            format: options.format ?? "cri",
            maxFiles: options.maxFiles ?? 5,
            pieceBytes: options.pieceBytes ?? 16 * 1024,
          });
          containers.set(containerName, made);
          return made;
        },
        delete() {
          for (const container of containers.values()) container.delete();
          rmSync(directory, { recursive: true, force: true });
        },
      };
    },
  };
}

function uidOf(name: string): string {
  const digits = createHash("sha256").update(name).digest("hex");
  return [8, 4, 4, 4, 12]
    .map((length, i, all) => {
      const from = all.slice(0, i).reduce((a, b) => a + b, 0);
      return digits.slice(from, from + length);
    })
    .join("-");
}
