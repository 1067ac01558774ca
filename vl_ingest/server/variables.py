"""The environment variables that hold credentials."""

KEY, SECRET = "VISUAL_LAYER_API_KEY", "VISUAL_LAYER_API_SECRET"
TOKEN = "VISUAL_LAYER_TOKEN"  # noqa: S105  # its name
PAIR = f"{KEY} and {SECRET}"
SECRETS = (SECRET, KEY, TOKEN)  # never shown, and not handed on to other commands
