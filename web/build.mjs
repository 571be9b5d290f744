// Builds the page into src/shoplens/server/page/, which is committed.
//
//   node build.mjs           write it
//   node build.mjs --check   fail where what is committed is not what the sources give
//
// The same sources and lock file give the same bytes on every machine.
import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, extname, join, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const web = dirname(fileURLToPath(import.meta.url));
const page = join(web, "..", "src", "shoplens", "server", "page");
const LIMITS = { ".js": 40_000, ".css": 8_000 }; // bytes, compressed
const OLD_BROWSERS = ["chrome109", "firefox115", "safari16"];

/** Return the files of the page, bytes by name. */
async function pageFiles() {
  const { outputFiles } = await build({
    absWorkingDir: web,
    entryPoints: { page: "src/main.tsx", style: "src/style/page.css" },
    outdir: "out",
    bundle: true,
    minify: true,
    format: "esm",
    target: OLD_BROWSERS,
    legalComments: "none", // The licences stand in a file of their own.
    charset: "utf8",
    write: false,
  });
  const assets = outputFiles.map(({ path, contents }) => [path.split(sep).at(-1), contents]);
  assets.push(["icon.svg", await readFile(join(web, "src", "icon.svg"))]);
  assets.push(["licences.txt", await licences()]);

  const files = new Map();
  let html = await readFile(join(web, "src", "index.html"), "utf8");
  for (const [name, contents] of assets) {
    const digest = createHash("sha256").update(contents).digest("hex").slice(0, 10);
    const hashed = `assets/${name.replace(".", `-${digest}.`)}`;
    files.set(hashed, Buffer.from(contents));
    html = html.replace(`{${name}}`, hashed);
  }
  return files.set("index.html", Buffer.from(html));
}

/** Return the licences of the packages in the bundle. */
async function licences() {
  const { dependencies } = JSON.parse(await readFile(join(web, "package.json"), "utf8"));
  const texts = [
    "The page of shoplens is licensed under Apache-2.0. It contains these packages.\n",
  ];
  for (const [name, version] of Object.entries(dependencies)) {
    const text = await readFile(join(web, "node_modules", name, "LICENSE"), "utf8");
    texts.push(`${name} ${version}\n\n${text.trim()}\n`);
  }
  return Buffer.from(texts.join(`\n${"-".repeat(72)}\n\n`));
}

/** Print the sizes of scripts and styles, compressed; return whether they are within the limits. */
function withinLimits(files) {
  let within = true;
  for (const [name, contents] of files) {
    const limit = LIMITS[extname(name)];
    if (limit === undefined) continue;
    const size = gzipSync(contents, { level: 9 }).length;
    console.log(`${name}: ${contents.length} bytes, ${size} compressed (at most ${limit})`);
    within &&= size <= limit;
  }
  return within;
}

/** Return what differs between the files and the folder that is committed. */
async function differences(files) {
  const listed = await readdir(page, { recursive: true, withFileTypes: true }).catch(() => []);
  const there = new Set(
    listed
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
      .map((path) => path.slice(page.length + 1).replaceAll(sep, "/")),
  );
  const found = [];
  for (const [name, contents] of files) {
    if (!there.delete(name)) found.push(`${name} is missing`);
    else if (!contents.equals(await readFile(join(page, name)))) found.push(`${name} differs`);
  }
  return [...found, ...[...there].map((name) => `${name} is not what the sources give`)];
}

const files = await pageFiles();
if (!withinLimits(files)) {
  console.error("the page is too large");
  process.exit(1);
}
if (process.argv.includes("--check")) {
  const found = await differences(files);
  if (found.length > 0) {
    console.error(`${page}:\n  ${found.join("\n  ")}\nrun \`npm run build\` in web/ and commit it`);
    process.exit(1);
  }
} else {
  await rm(page, { recursive: true, force: true });
  await mkdir(join(page, "assets"), { recursive: true });
  for (const [name, contents] of files) await writeFile(join(page, name), contents);
}
