import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
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
  /** The pod is gone, with its logs; garbage is collected behind it. */
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
  /**
   * What kubelet does every minute: removes all that is in the directory of pods' logs and is no
   * living pod's, by what stands behind the last underscore (pkg/kubelet/kuberuntime/kuberuntime_gc.go).
   */
  collectGarbage(): void;
}

export function createFakeKubelet(options: FakeKubeletOptions): FakeKubelet {
  const podsDirectory = join(options.directory, "pods");
  const containersDirectory = join(options.directory, "containers");
  mkdirSync(podsDirectory, { recursive: true });
  mkdirSync(containersDirectory, { recursive: true });
  const living = new Set<string>();
  const collectGarbage = (): void => {
    for (const name of readdirSync(podsDirectory)) {
      if (living.has(name.slice(name.lastIndexOf("_") + 1))) continue;
      rmSync(join(podsDirectory, name), { recursive: true, force: true });
    }
  };

  return {
    podsDirectory,
    containersDirectory,
    collectGarbage,
    pod({ namespace = "default", name, uid = uidOf(`${namespace}/${name}`) }) {
      const containers = new Map<string, FakeContainer>();
      const directory = join(podsDirectory, `${namespace}_${name}_${uid}`);
      living.add(uid);
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
          living.delete(uid);
          collectGarbage();
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
