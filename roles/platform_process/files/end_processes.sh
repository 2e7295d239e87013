#!/bin/sh
# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
# end_processes.sh FOLDER SECONDS PID_FILE...
# Ends the processes that the pid files name, and removes the pid files. What supervisord starts leads a process group,
# and so does it itself: their children end with them. SECONDS is how long each may take until it is killed.
set -eu
folder=$1
seconds=$2
shift 2

# Whether a process lives and has FOLDER in its command line: its id may be another one's by now.
belongs() {
  { command_line=$(tr '\000' ' ' <"/proc/$1/cmdline"); } 2>/dev/null || return 1
  case $command_line in
    *"$folder"/*) return 0 ;;
    *) return 1 ;;
  esac
}

for pid_file; do
  [ -f "$pid_file" ] || continue
  pid=$(cat "$pid_file")
  case $pid in
    '' | *[!0-9]*) pid=0 ;;
  esac
  if [ "$pid" -gt 1 ] && belongs "$pid"; then
    echo "ended process $pid: $command_line"
    kill -s TERM -- "-$pid" 2>/dev/null || true
    tenths=$((seconds * 10))
    while [ "$tenths" -gt 0 ] && belongs "$pid"; do
      sleep 0.1
      tenths=$((tenths - 1))
    done
    kill -s KILL -- "-$pid" 2>/dev/null || true
  fi
  rm -f -- "$pid_file"
done
