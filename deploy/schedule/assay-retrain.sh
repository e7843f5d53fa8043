#!/bin/sh
# `assay retrain` for a scheduler to whom every code but 0 is a failure: kept (10), nothing new (11) and busy (12) are
# none. Failed (1) and wrong settings (2) stay what they are, and so does the end by a signal.
assay retrain "$@"
code=$?
case $code in 10 | 11 | 12) exit 0 ;; esac
exit $code
