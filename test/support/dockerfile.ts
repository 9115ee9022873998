/**
 * Replays a Dockerfile without an engine: a stage is a folder, and absolute paths are below it. The instructions run
 * unchanged with the Node version of FROM, without isolation; USER is only reported.
 */
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, statSync } from "node:fs";
import { basename, dirname, join, relative } from "node:path";
import { promisify } from "node:util";
import { nodeCommand } from "./nodes.mjs";

export interface Image {
  /** The folder that is `/` of the image. */
  readonly root: string;
  /** ENTRYPOINT with CMD, and the command of HEALTHCHECK, with paths below `root`. */
  readonly command: readonly string[];
  readonly healthCheck: readonly string[];
  readonly ports: readonly number[];
  readonly user: string;
  readonly stopSignal: NodeJS.Signals;
}

/** COPY copies from `context`, without the names in the .dockerignore beside `file`; `folder` is empty. */
export async function replayDockerfile(
  file: string,
  context: string,
  folder: string,
): Promise<Image> {
  const ignored = readFileSync(`${file}.dockerignore`, "utf8").trimEnd().split("\n");
  const roots = new Map<string, string>();
  let stage = newStage(folder, "");
  for (const [name, rest] of instructions(readFileSync(file, "utf8"))) {
    const words = rest.split(/\s+/);
    if (name === "FROM") {
      const [, major, alias = "last"] = /^node:(\d+)\S*(?: AS (\w+))?$/.exec(rest)!;
      stage = newStage(join(folder, alias), nodeCommand(Number(major)));
      roots.set(alias, stage.root);
    } else if (name === "WORKDIR") {
      stage.workdir = below(stage.root, rest);
      mkdirSync(stage.workdir, { recursive: true });
    } else if (name === "COPY") {
      const from = /^--from=(\w+)$/.exec(words[0]!)?.[1];
      const sources = words.slice(from === undefined ? 0 : 1, -1);
      const to = join(below(stage.root, words.at(-1)!, stage.workdir), "/");
      if (from === undefined) for (const source of sources) copy(context, ignored, source, to);
      // The shell expands "*".
      else await sh(stage, `cp -r ${below(roots.get(from)!, sources.join(" "))} ${to}`);
    } else if (name === "RUN") await sh(stage, below(stage.root, rest));
    else if (name === "USER") stage.user = rest;
    else if (name === "EXPOSE") stage.ports = words.map(Number);
    // A folder of the image, as long as nothing is mounted there.
    else if (name === "VOLUME") mkdirSync(below(stage.root, rest), { recursive: true });
    else if (name === "STOPSIGNAL") stage.stopSignal = rest as NodeJS.Signals;
    else if (name === "HEALTHCHECK")
      stage.healthCheck = command(stage, rest.replace(/.* CMD /, ""));
    else if (name === "ENTRYPOINT") stage.command = command(stage, rest);
    else if (name === "CMD") stage.command = [...stage.command, ...command(stage, rest)];
    else throw new Error(`${name} is not replayed`);
  }
  return stage;
}

interface Stage extends Image {
  readonly node: string;
  workdir: string;
  command: readonly string[];
  healthCheck: readonly string[];
  ports: readonly number[];
  user: string;
  stopSignal: NodeJS.Signals;
}

function newStage(root: string, node: string): Stage {
  for (const each of ["tmp", "root"]) mkdirSync(join(root, each), { recursive: true });
  const stopSignal = "SIGTERM";
  return {
    root,
    node,
    workdir: root,
    command: [],
    healthCheck: [],
    ports: [],
    user: "root",
    stopSignal,
  };
}

/** `FROM node AS x` as `["FROM", "node AS x"]`: without comments, and with continued lines joined. */
function instructions(text: string): [string, string][] {
  const lines = text
    .replace(/^#.*\n/gm, "")
    .replace(/\\\n\s*/g, "")
    .split("\n");
  return lines
    .filter((line) => line.trim() !== "")
    .map((line) => {
      const [, name, rest] = /^(\w+)\s+(.*)$/.exec(line)!;
      return [name!, rest!];
    });
}

/** Puts every absolute path of a text below `root`, and a text that is a relative path in `workdir`. */
function below(root: string, text: string, workdir = ""): string {
  if (workdir !== "" && !text.startsWith("/")) return join(workdir, text);
  return text.replace(/(^|[\s"'=])\/(?=\w)/g, `$1${root}/`);
}

function command({ root, node }: Stage, json: string): readonly string[] {
  const words = JSON.parse(json) as string[];
  return words.map((word) => (word === "node" ? node : below(root, word)));
}

/** `ignored` are names below `context`, without patterns. */
function copy(context: string, ignored: readonly string[], source: string, to: string): void {
  const from = join(context, source);
  const target = statSync(from).isDirectory() ? to : join(to, basename(source));
  cpSync(from, target, {
    recursive: true,
    filter: (path) => !ignored.includes(relative(context, path)),
  });
}

async function sh({ node, workdir }: Stage, script: string): Promise<void> {
  const env = {
    ...process.env,
    PATH: `${dirname(node)}:${process.env["PATH"]}`,
    // Uses the packages that `npm ci` downloaded before.
    npm_config_prefer_offline: "true",
  };
  await promisify(execFile)("sh", ["-c", script], { cwd: workdir, env });
}
