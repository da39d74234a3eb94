"""From the files of a run to one HTML page: reading, charts, the choice of examples, the template."""
