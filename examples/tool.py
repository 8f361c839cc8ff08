"""A tool for flows: counts the words of a text. Run it by `flowrun examples/tool.yaml`."""
import json, sys

TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
for line in sys.stdin:
    asked = json.loads(line)
    if "describe" in asked:
        answer = {"description": "Counts words.", "arguments": TEXT, "results": {"type": "integer"}}
    else:
        answer = len(asked["call"]["text"].split())
    print(json.dumps({"id": asked["id"], "result": answer}), flush=True)
