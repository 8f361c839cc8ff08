# Says its ports, and answers nothing: no call comes to it.
while read -r line; do
  echo '{"id": 0, "result": {"arguments": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}, "results": {"type": "integer"}}}'
done
