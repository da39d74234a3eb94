"""Write docs/recipe-keys.md from the recipe's models; a test fails when the file has drifted."""

from pathlib import Path

from preceptor.recipe import describe_keys

if __name__ == "__main__":
    target = Path(__file__).resolve().parent.parent / "docs" / "recipe-keys.md"
    target.write_text(describe_keys(), encoding="utf-8")
    print(f"wrote {target}")
