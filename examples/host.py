"""Runs a flow from Python, and lends it a function. The standard library is enough; `Flowrun` is there to be copied."""
import json
import os
import subprocess
import threading


class Flowrun:
    """A `flowrun host` process. `tools` are functions that flows may call, by name."""

    def __init__(self, tools=None, program=os.environ.get("FLOWRUN", "flowrun")):
        self.tools = dict(tools or {})
        self._process = subprocess.Popen([program, "host"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         encoding="utf-8")
        self._lock = threading.Lock()
        self._answers = {}
        self._next = 0
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait()

    def load(self, text, base_dir="."):
        """Loads a flow document, and gives its handle."""
        return self.request("load", text=text, base_dir=base_dir, tools=list(self.tools))["flow"]

    def start(self, flow, inputs=None, **options):
        """Starts a run of a loaded flow, and gives its handle."""
        return self.request("start", flow=flow, inputs=inputs or {}, options=options)["run"]

    def run(self, run):
        """Goes on with a run until it ends or waits for somebody; gives the status."""
        return self.request("run", run=run)

    def reply(self, run, message):
        """Answers the question that a run waits for."""
        self.request("reply", run=run, message=message)

    def outputs(self, text, inputs=None, base_dir=".", **options):
        """Runs a flow that asks nobody, and gives its outputs."""
        status = self.run(self.start(self.load(text, base_dir), inputs, **options))
        if status["status"] != "finished":
            raise RuntimeError(f"the run did not finish: {status}")
        return status["outputs"]

    def request(self, method, **params):
        """Asks for anything of the protocol, and waits for the answer."""
        answered = threading.Event()
        with self._lock:
            self._next += 1
            number = self._next
            self._answers[number] = [answered, None]
        self._send({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        answered.wait()
        answer = self._answers.pop(number)[1]
        if answer is None:
            raise RuntimeError("flowrun is gone")
        if "error" in answer:
            raise RuntimeError(f"{answer['error']['message']} {answer['error'].get('data', '')}")
        return answer["result"]

    def _send(self, message):
        with self._lock:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def _read(self):
        for line in self._process.stdout:
            message = json.loads(line)
            if message.get("method") == "call_tool":
                threading.Thread(target=self._call, args=(message,), daemon=True).start()
            elif "method" not in message and message["id"] in self._answers:
                self._answers[message["id"]][1] = message
                self._answers[message["id"]][0].set()
        for answered, _ in list(self._answers.values()):
            answered.set()

    def _call(self, message):
        answer = {"jsonrpc": "2.0", "id": message["id"]}
        try:
            answer["result"] = self.tools[message["params"]["name"]](**message["params"]["arguments"])
        except Exception as error:
            answer["error"] = {"code": -32000, "message": str(error), "data": {"type": type(error).__name__}}
        self._send(answer)


FLOW = """
flow: greetings
tools: { shout: { type: host, arguments: { text: string }, results: { loud: string } } }
inputs: { names: [string] }
steps: { each: { type: map, flow: greeting, over: { name: inputs.names }, collect: [loud], parallel: 8 } }
outputs: { shouted: each.loud }
flows:
  greeting:
    inputs: { name: string }
    steps:
      hello: { type: template, template: "Hello {{ name }}", output: text }
      shout: { type: tool, tool: shout }
"""

if __name__ == "__main__":
    with Flowrun(tools={"shout": lambda text: text.upper() + "!"}) as flowrun:
        print(flowrun.outputs(FLOW, {"names": ["Ann", "Bob"]}))
