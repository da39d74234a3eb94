"""What an import leaves: a file a part, where personal data stands, an index to know its prompts again."""

import json
import shutil
from pathlib import Path
from typing import Any

from preceptor.feedback.hygiene.options import ImportOptions
from preceptor.feedback.hygiene.splits import part_of
from preceptor.feedback.hygiene.staging import KNOWN, Staging

INDEX, FINDINGS = "index.parquet", "findings.jsonl"
ROWS = 50_000


def load_known(staging: Staging, out: Path) -> None:
    """Put the keys of the prompts in ``out`` into the table ``known``."""
    staging.db.execute("delete from known")
    if (out / INDEX).exists():
        import pyarrow as pa
        import pyarrow.parquet as pq

        for batch in pq.ParquetFile(out / INDEX).iter_batches(ROWS, columns=list(KNOWN)):
            staging.insert_arrow("known", pa.Table.from_batches([batch]))


def write_output(staging: Staging, out: Path, new: Path, options: ImportOptions) -> dict[str, Any]:
    """Write to ``new`` every file that changes: what is in ``out`` and what was kept, behind it. Counts by part."""
    counts = {part: {"prompts": 0, "added": 0} for part in options.parts}
    files: dict[str, Any] = {}
    try:
        for name in (*(f"{part}.jsonl" for part in options.parts), FINDINGS):
            if (out / name).exists():
                shutil.copyfile(out / name, new / name)
            if name != FINDINGS or options.pii == "flag":
                files[name] = (new / name).open("a", encoding="utf-8", newline="\n")
        for batch in range(staging.batches()):
            for record, kind, findings in staging.kept(batch):
                prompt = json.loads(record)
                prompt["kind"] = kind
                part = part_of(prompt["user"], options.parts, options.seed)
                files[f"{part}.jsonl"].write(json.dumps(prompt, ensure_ascii=False) + "\n")
                counts[part]["added"] += 1
                if findings and FINDINGS in files:
                    line = {"id": prompt["id"], "findings": json.loads(findings)}
                    files[FINDINGS].write(json.dumps(line) + "\n")
    finally:
        for file in files.values():
            file.close()
    for part, count in counts.items():
        with (new / f"{part}.jsonl").open("rb") as file:
            count["prompts"] = sum(1 for _ in file)
    _write_index(staging, new / INDEX)
    return counts


def _write_index(staging: Staging, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("id", pa.string()), ("user", pa.string()), ("key", pa.binary()), ("prefix", pa.binary())])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for rows in staging.index():
            columns = zip(*rows, strict=True)
            writer.write_table(pa.table(dict(zip(KNOWN, map(list, columns), strict=True)), schema=schema))
