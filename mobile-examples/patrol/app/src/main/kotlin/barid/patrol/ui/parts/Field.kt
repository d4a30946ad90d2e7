package barid.patrol.ui.parts

import androidx.compose.foundation.BorderStroke
import androidx.compose.foundation.layout.Box
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.defaultMinSize
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.shape.RoundedCornerShape
import androidx.compose.foundation.text.BasicTextField
import androidx.compose.foundation.text.KeyboardOptions
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.Surface
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.ui.Modifier
import androidx.compose.ui.graphics.SolidColor
import androidx.compose.ui.platform.testTag
import androidx.compose.ui.semantics.contentDescription
import androidx.compose.ui.semantics.semantics
import androidx.compose.ui.text.TextStyle
import androidx.compose.ui.unit.dp
import barid.patrol.ui.theme.LocalPalette

/** A line or more of text, with its label above it, where it stays readable while one types. */
@Composable
fun Field(
    label: String,
    text: String,
    onText: (String) -> Unit,
    modifier: Modifier = Modifier,
    tag: String,
    hint: String? = null,
    lines: Int = 1,
    style: TextStyle = MaterialTheme.typography.bodyLarge,
    keyboard: KeyboardOptions = KeyboardOptions.Default,
) {
    val palette = LocalPalette.current
    Column(modifier.fillMaxWidth()) {
        Text(label, style = MaterialTheme.typography.titleMedium)
        Gap(6.dp)
        Surface(
            shape = RoundedCornerShape(12.dp),
            color = palette.raised,
            contentColor = palette.ink,
            border = BorderStroke(2.dp, palette.edge),
        ) {
            BasicTextField(
                text, onText,
                Modifier.fillMaxWidth().defaultMinSize(minHeight = TouchMin).semantics { contentDescription = label }.testTag(tag),
                textStyle = style.copy(color = palette.ink),
                cursorBrush = SolidColor(palette.primary),
                singleLine = lines == 1,
                minLines = lines,
                keyboardOptions = keyboard,
                decorationBox = { inner ->
                    Box(Modifier.fillMaxWidth().padding(horizontal = 14.dp, vertical = 14.dp), propagateMinConstraints = true) {
                        if (text.isEmpty() && hint != null) Text(hint, style = style, color = palette.muted)
                        inner()
                    }
                },
            )
        }
    }
}
