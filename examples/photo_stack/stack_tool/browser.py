"""The stack's first page in a browser."""
import os
import shutil
import subprocess

from stack_tool.stack import tell_where


def open_page(stack):
    """As whoever called sudo, for a browser does not run as root. Without a desktop it is said where to look, and as whom."""
    tell_where(stack)
    user = os.environ.get("SUDO_USER")
    if user and shutil.which("xdg-open"):
        subprocess.run(["setpriv", f"--reuid={user}", "--init-groups", "xdg-open", stack.entry], check=False)
    return 0
