// 64 workflows of durable steps that do nothing, on DBOS with a PostgreSQL of its own, defaults in both.

import { DBOS } from "@dbos-inc/dbos-sdk";
import { execFileSync } from "node:child_process";
import { chownSync } from "node:fs";
import { join } from "node:path";
import { eventually, freePort, measured, peakMb, run, scratch, started, tell, took, versionOf } from "./measure.mjs";

const STEPS = 20;
const NOBODY = 65534;

const workflow = DBOS.registerWorkflow(
  async (steps) => {
    for (let number = 0; number < steps; number += 1) {
      const begun = performance.now();
      await DBOS.runStep(async () => number, { name: `s${number}` });
      took.push(performance.now() - begun);
    }
    return steps;
  },
  { name: "workflow" },
);

await run(async () => {
  const dir = scratch();
  const port = await freePort();
  // PostgreSQL refuses to be run by root.
  const as = process.getuid() === 0 ? { uid: NOBODY, gid: NOBODY } : {};
  if (as.uid !== undefined) chownSync(dir, NOBODY, NOBODY);
  const data = join(dir, "data");
  const options = { ...as, cwd: dir, env: { PATH: process.env.PATH, LC_ALL: "C" } };
  execFileSync("initdb", ["-D", data, "-A", "trust", "-U", "dbos", "-E", "UTF8"], { ...options, stdio: "ignore" });
  const settings = ["-D", data, "-k", dir, "-p", String(port), "-h", "127.0.0.1"];
  started("postgres", settings, { ...options, stdio: "ignore" });
  DBOS.setConfig({
    name: "bench",
    systemDatabaseUrl: `postgresql://dbos@127.0.0.1:${port}/bench_sys`,
    logLevel: "error",
    runAdminServer: false,
  });
  await eventually(() => DBOS.launch());
  const seconds = await measured(STEPS, (_, steps) => workflow(steps));
  const version = versionOf("@dbos-inc/dbos-sdk");
  tell({ version, seconds, peak_mb: peakMb(process.pid), note: "1 row a step, PostgreSQL's memory not counted" });
});
