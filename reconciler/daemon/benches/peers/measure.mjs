// What both peers share: the clock, the figures, processes that end with this one.

import { readFileSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawn } from "node:child_process";
import { createRequire } from "node:module";

export const WORKFLOWS = 64;

const ended = [];

/** A directory that is gone at the end. */
export function scratch() {
  const dir = mkdtempSync(join(tmpdir(), "peer-"));
  ended.push(() => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Starts a process that is killed at the end. */
export function started(program, args, options) {
  const child = spawn(program, args, { stdio: ["ignore", "ignore", "inherit"], ...options });
  ended.unshift(() => child.kill("SIGKILL"));
  return child;
}

export async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** Tries until it succeeds, for a minute. */
export async function eventually(attempt) {
  for (let left = 600; ; left -= 1) {
    try {
      return await attempt();
    } catch (error) {
      if (left === 0) throw error;
      await new Promise((done) => setTimeout(done, 100));
    }
  }
}

/** The most memory that a process had at once, in MB. */
export function peakMb(pid) {
  const peak = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"));
  return Number(peak[1]) / 1024;
}

export function versionOf(name) {
  const [path] = createRequire(import.meta.url).resolve.paths(name);
  return JSON.parse(readFileSync(join(path, name, "package.json"), "utf8")).version;
}

/** Milliseconds that each step took. */
export const took = [];

/** Runs `workflow` 64 times at once, twice: the first time warms up. */
export async function measured(steps, workflow) {
  await together(Math.ceil(steps / 10), workflow);
  took.length = 0;
  const begun = performance.now();
  await together(steps, workflow);
  return (performance.now() - begun) / 1000;
}

let runs = 0;

async function together(steps, workflow) {
  const round = (runs += 1);
  const all = Array.from({ length: WORKFLOWS }, (_, number) => workflow(`r${round}w${number}`, steps));
  await Promise.all(all);
}

/** Prints the figures and ends everything. */
export function tell(figures) {
  took.sort((one, other) => one - other);
  const at = (share) => took[Math.min(Math.floor((took.length * share) / 100), took.length - 1)];
  console.log(JSON.stringify({ steps: took.length, p50_ms: at(50), p99_ms: at(99), ...figures }));
}

export async function run(main) {
  let code = 0;
  try {
    await main();
  } catch (error) {
    console.error(error);
    code = 1;
  }
  for (const end of ended) end();
  process.exit(code);
}
