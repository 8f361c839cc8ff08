# A step in sed: for a line that asks what it takes, what it takes; for a line that calls, the answer.
/"describe"/c\
{"id": 0, "result": {"arguments": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}, "results": {"type": "object", "properties": {"greeting": {"type": "string"}}, "required": ["greeting"]}}}
s/.*"id":\([0-9]*\).*"name":"\([^"]*\)".*/{"id": \1, "result": {"greeting": "Hello, \2."}}/
